-- What happened: every event as it came, and the pages made of them. The pages can be made again from the events.

CREATE TABLE events (
    position     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,  -- in order of commit: readers go by it
    id           text NOT NULL UNIQUE,
    time         timestamptz NOT NULL,
    organization text NOT NULL,
    project      text,
    environment  text,
    deployment   text,
    step         text,
    sequence     integer,
    name         text NOT NULL,
    body         text NOT NULL,  -- as it came
    trace        text            -- W3C traceparent
);
CREATE INDEX events_deployment ON events (deployment, sequence) WHERE deployment IS NOT NULL;
CREATE INDEX events_organization ON events (organization, position);
CREATE INDEX events_time ON events (time);
CREATE INDEX events_attempts ON events (organization, position) WHERE name = 'NotificationAttempted';

CREATE TABLE deployments (
    id           text PRIMARY KEY,
    organization text NOT NULL,
    project      text NOT NULL,
    environment  text NOT NULL,
    state        text NOT NULL,
    sequence     integer NOT NULL,
    created_at   timestamptz NOT NULL,
    started_at   timestamptz,
    ended_at     timestamptz,
    trace        text,
    view         text NOT NULL  -- the page as JSON; text, because jsonb refuses U+0000
);
CREATE INDEX deployments_environment ON deployments (organization, project, environment, id DESC);

CREATE TABLE steps (
    deployment  text NOT NULL REFERENCES deployments ON DELETE CASCADE,
    step        text NOT NULL,
    place       integer NOT NULL,  -- in the order of the plan
    state       text NOT NULL,
    started_at  timestamptz,
    ended_at    timestamptz,
    view        text NOT NULL,
    PRIMARY KEY (deployment, step)
);

-- People's wishes and what became of them.
CREATE TABLE requests (
    id           text PRIMARY KEY,
    organization text NOT NULL,
    project      text,
    environment  text,
    subject      text NOT NULL,
    verb         text NOT NULL,
    deployment   text,   -- the one that it is about, or that it led to
    refusal      text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    answered_at  timestamptz
);

CREATE TABLE log_lines (
    position   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    deployment text NOT NULL,
    step       text NOT NULL,
    direction  text NOT NULL,    -- do, undo
    attempt    integer NOT NULL,
    number     integer NOT NULL,
    time       timestamptz NOT NULL,
    text       text NOT NULL,
    UNIQUE (deployment, step, direction, attempt, number)
);
CREATE INDEX log_lines_deployment ON log_lines (deployment, position);
CREATE INDEX log_lines_time ON log_lines (time);

CREATE TABLE dead_letters (
    position    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    fingerprint text NOT NULL UNIQUE,  -- SHA-256 of all the rest: the same letter is kept once
    service     text NOT NULL,
    subject     text NOT NULL,
    reason      text NOT NULL,
    headers     jsonb NOT NULL,
    body        text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now()
);
