-- The messages that a service has taken, and those that it has to send. The same tables in every schema.

CREATE TABLE inbox (
    id       text PRIMARY KEY,
    taken_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX inbox_taken_at ON inbox (taken_at);

CREATE TABLE outbox (
    position   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id         text NOT NULL UNIQUE,  -- Nats-Msg-Id, frozen when the message was written
    stream     text NOT NULL,
    subject    text NOT NULL,
    headers    jsonb NOT NULL,
    body       text NOT NULL,
    open       boolean NOT NULL DEFAULT false,  -- a command not answered, a change not settled
    created_at timestamptz NOT NULL DEFAULT now(),
    sent_at    timestamptz
);
CREATE INDEX outbox_unsent ON outbox (position) WHERE sent_at IS NULL;
CREATE INDEX outbox_open ON outbox (subject) WHERE open;
CREATE INDEX outbox_created_at ON outbox (created_at);

-- What the relay remembers of each stream, to see that it lost its end or is a new one.
CREATE TABLE outbox_streams (
    name     text PRIMARY KEY,
    created  timestamptz NOT NULL,
    sequence bigint NOT NULL,
    seen_at  timestamptz NOT NULL DEFAULT now()
);
