-- Deliveries as they came, what was made of them, and the connections that they come by.

CREATE TABLE deliveries (
    id          text PRIMARY KEY,
    connection  text NOT NULL,
    hook        text NOT NULL,  -- the forge's id of the hook, empty where it has none
    key         text NOT NULL,  -- the forge's id of the delivery: a redelivery has the same
    event       text NOT NULL,
    headers     jsonb NOT NULL,
    body        bytea,          -- null once it is too old to be of use
    received_at timestamptz NOT NULL DEFAULT now(),
    reason      text,           -- why it led to no change
    UNIQUE (connection, hook, key)
);
CREATE INDEX deliveries_received_at ON deliveries (received_at);

-- The arrival number: what is newer.
CREATE SEQUENCE arrivals;

-- The last change known of each ref. Its row lock is what puts changes of one ref in order.
CREATE TABLE heads (
    connection text NOT NULL,
    repository text NOT NULL,
    ref        text NOT NULL,
    change     text,  -- null until the first change
    commit     text,
    arrival    bigint,
    PRIMARY KEY (connection, repository, ref)
);

CREATE TABLE changes (
    id           text PRIMARY KEY,
    arrival      bigint NOT NULL UNIQUE,
    connection   text NOT NULL,
    repository   text NOT NULL,
    ref          text NOT NULL,
    commit       text NOT NULL,
    message      text NOT NULL,  -- ChangePushed as JSON
    state        text NOT NULL CHECK (state IN ('pending', 'taken', 'ignored')),
    reason       text,
    deployments  text[] NOT NULL DEFAULT '{}',
    created_at   timestamptz NOT NULL DEFAULT now(),
    settled_at   timestamptz,
    sends        integer NOT NULL DEFAULT 1,
    send_next_at timestamptz NOT NULL
);
CREATE INDEX changes_pending ON changes (send_next_at) WHERE state = 'pending';
CREATE INDEX changes_created_at ON changes (created_at);

-- A mirror of the catalogue's connections, so that intake works while api is away.
CREATE TABLE connections (
    name         text PRIMARY KEY,
    organization text NOT NULL,
    project      text NOT NULL,
    forge        text NOT NULL,
    repository   text NOT NULL,
    clone_url    text NOT NULL,
    api_url      text NOT NULL,
    version      bigint NOT NULL,
    sealed       bytea NOT NULL,  -- secrets and token, AES-256-GCM
    sweep_next_at timestamptz NOT NULL DEFAULT now()
);
