-- What a change says: of a ref that was pushed, or of a change request. `message` is read by it.
ALTER TABLE changes ADD COLUMN type text NOT NULL DEFAULT 'slipway.ChangePushed.v1';
ALTER TABLE changes ALTER COLUMN type DROP DEFAULT;
