-- Deployments that could not be read or moved are left alone for a while, by every replica.
ALTER TABLE deployments ADD COLUMN put_off_until timestamptz, ADD COLUMN failures integer NOT NULL DEFAULT 0;
CREATE INDEX deployments_put_off ON deployments (put_off_until) WHERE put_off_until IS NOT NULL;
