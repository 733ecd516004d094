-- A GitHub App in the place of a token: its id, its installation (empty: the one on the repository), and its sealed private key.
ALTER TABLE connections ADD COLUMN app_id text NOT NULL DEFAULT '';
ALTER TABLE connections ADD COLUMN installation text NOT NULL DEFAULT '';
ALTER TABLE connections ADD COLUMN sealed_app_key bytea;
