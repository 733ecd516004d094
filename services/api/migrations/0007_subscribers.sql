-- Outside tools that read events: each has a user of its own on the bus, and one consumer that it may read.

CREATE TABLE subscribers (
    organization  text NOT NULL REFERENCES organizations ON DELETE RESTRICT,
    name          text NOT NULL,
    id            text NOT NULL,               -- another one of the same name is another
    stream        text NOT NULL CHECK (stream IN ('EVENTS', 'CDEVENTS')),
    subjects      text[] NOT NULL,
    password_hash text NOT NULL,               -- bcrypt; the password itself is nowhere
    starts_at     timestamptz,                 -- null: the start of the stream
    read_until    timestamptz,                 -- when what it acknowledged last was stored: a consumer that was lost begins here again
    created_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization, name)
);
