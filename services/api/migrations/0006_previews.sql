-- Environments that follow change requests, and those that are made of them.
ALTER TABLE environments
    ADD COLUMN follows     text NOT NULL DEFAULT 'ref' CHECK (follows IN ('ref', 'change_requests')),
    ADD COLUMN most        integer,      -- previews at once
    ADD COLUMN ttl_s       integer,      -- how long a preview stays without an update
    ADD COLUMN preview_of  text,         -- the slug of the environment that this one is like
    ADD COLUMN repository  text,         -- whose change request it is, with the connection
    ADD COLUMN number      text,
    ADD COLUMN fork        boolean NOT NULL DEFAULT false,
    ADD COLUMN web_url     text,
    ADD COLUMN updated_at  timestamptz,  -- when the change request was last opened or updated
    ADD COLUMN removing_at timestamptz;  -- when its removal was last asked for
CREATE UNIQUE INDEX environments_previews ON environments (organization, project, connection, repository, number, preview_of)
    WHERE preview_of IS NOT NULL;
