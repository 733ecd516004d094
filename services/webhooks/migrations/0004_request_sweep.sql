-- When each connection's change requests are asked after next, and those that have to be.
ALTER TABLE connections ADD COLUMN requests_next_at timestamptz NOT NULL DEFAULT now();
CREATE INDEX changes_requests ON changes (connection) WHERE type <> 'slipway.ChangePushed.v1';
