-- A webhook's signing secret is exchanged without a break: until the rotation is finished, both sign.
ALTER TABLE channels ADD COLUMN sealed_former_secret bytea;
