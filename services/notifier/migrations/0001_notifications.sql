-- Whom to tell what (mirrored from api's catalogue), what is to be told, and what became of each attempt.

CREATE TABLE channels (
    organization text NOT NULL,
    name text NOT NULL,
    project text NOT NULL, -- '': every project
    kind text NOT NULL,
    forge text NOT NULL,
    api_url text NOT NULL,
    repository text NOT NULL,
    events text[] NOT NULL,
    version bigint NOT NULL,
    sealed bytea NOT NULL, -- url and secret, AES-256-GCM
    gone_at timestamptz, -- the receiver answered 410: nothing more is sent until the channel changes
    hold_until timestamptz, -- the receiver asked for a pause
    PRIMARY KEY (organization, name)
);

-- One row. The mirror is old while `done` is below `wanted`; before the first time nothing is taken from the stream.
CREATE TABLE mirror (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    wanted bigint NOT NULL DEFAULT 1,
    done bigint NOT NULL DEFAULT 0
);
INSERT INTO mirror DEFAULT VALUES;

-- What a deployment is about: only its first event says so.
CREATE TABLE deployments (
    id text PRIMARY KEY,
    organization text NOT NULL,
    project text NOT NULL,
    environment text NOT NULL,
    environment_kind text NOT NULL,
    repository text NOT NULL,
    ref text NOT NULL,
    commit text NOT NULL,
    title text NOT NULL,
    pusher text NOT NULL,
    created_at timestamptz NOT NULL
);

CREATE TABLE notifications (
    id text PRIMARY KEY,
    organization text NOT NULL,
    channel text NOT NULL,
    event_id text NOT NULL,
    event text NOT NULL, -- as it came
    source text NOT NULL, -- the service that wrote it
    lane text NOT NULL, -- one at a time within it, the newest first
    sequence bigint NOT NULL,
    state text NOT NULL DEFAULT 'pending'
        CHECK (state IN ('pending', 'delivered', 'skipped', 'gone', 'dead', 'dropped')),
    attempts integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    due_at timestamptz NOT NULL DEFAULT now(),
    leased_until timestamptz,
    ended_at timestamptz,
    UNIQUE (organization, channel, event_id)
);
CREATE INDEX notifications_due ON notifications (due_at) WHERE state = 'pending';
CREATE INDEX notifications_lane ON notifications (lane, sequence) WHERE state = 'pending';
CREATE INDEX notifications_ended ON notifications (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE attempts (
    notification text NOT NULL REFERENCES notifications ON DELETE CASCADE,
    number integer NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    seconds double precision NOT NULL,
    delivered boolean NOT NULL,
    status integer,
    error text NOT NULL,
    next_at timestamptz, -- none: this was the last
    PRIMARY KEY (notification, number)
);

-- A deployment's counterpart on a forge, and how far it was told there: never back in time.
CREATE TABLE forge_deployments (
    organization text NOT NULL,
    channel text NOT NULL,
    deployment text NOT NULL,
    forge_id text,
    sequence bigint NOT NULL DEFAULT 0,
    told_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization, channel, deployment)
);
