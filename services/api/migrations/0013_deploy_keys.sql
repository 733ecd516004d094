-- A key pair of a connection's own to clone over SSH: the private half sealed, the public one as a line of authorized_keys, its id where
-- the forge has it by us, and the keys by which the host is known (a file of known hosts). Empty: it has none.
ALTER TABLE connections ADD COLUMN sealed_deploy_key bytea;
ALTER TABLE connections ADD COLUMN deploy_key text NOT NULL DEFAULT '';
ALTER TABLE connections ADD COLUMN deploy_key_id text NOT NULL DEFAULT '';
ALTER TABLE connections ADD COLUMN known_hosts text NOT NULL DEFAULT '';
