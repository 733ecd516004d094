-- One comment a change request: what its previews' deployments came to, and which comment on the forge says so.

ALTER TABLE deployments ADD COLUMN change_request text NOT NULL DEFAULT ''; -- the number of the one that the environment is a preview of
CREATE INDEX deployments_change_request ON deployments (organization, repository, change_request) WHERE change_request <> '';

-- Events that a comment is made of, of previews' deployments and of such whose first event has not come.
CREATE TABLE milestones (
    deployment text NOT NULL,
    sequence bigint NOT NULL,
    event text NOT NULL, -- as it came
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (deployment, sequence)
);

CREATE TABLE comments (
    organization text NOT NULL,
    repository text NOT NULL,
    number text NOT NULL,
    version bigint NOT NULL DEFAULT 0, -- grows with what is to be said; whoever has a version sees all milestones up to it
    forge_id text,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization, repository, number)
);

ALTER TABLE notifications ADD COLUMN provider text NOT NULL DEFAULT ''; -- '': the one of the channel's kind
ALTER TABLE notifications DROP CONSTRAINT notifications_organization_channel_event_id_key;
ALTER TABLE notifications ADD UNIQUE (organization, channel, event_id, provider);

ALTER TABLE channels ADD COLUMN comments_rest_until timestamptz; -- the token lacks the right to comment; statuses go on
