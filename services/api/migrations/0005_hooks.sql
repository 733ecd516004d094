-- The hook that was made at the forge for a connection: its id there, and the address that it calls. Empty: none was.
ALTER TABLE connections ADD COLUMN hook_id text NOT NULL DEFAULT '';
ALTER TABLE connections ADD COLUMN hook_url text NOT NULL DEFAULT '';
