-- Deployments, the environments that they hold, and what each environment runs.

CREATE TABLE deployments (
    id           text PRIMARY KEY,
    organization text NOT NULL,
    project      text NOT NULL,
    environment  text NOT NULL,
    state        text NOT NULL,
    holds        boolean NOT NULL DEFAULT false,
    authorised   boolean NOT NULL DEFAULT false,
    arrival      bigint NOT NULL,
    wants        text,
    wake_at      timestamptz,
    origin       jsonb NOT NULL,
    inspected    jsonb,
    builds       jsonb NOT NULL DEFAULT '{}',
    plan         jsonb,
    progress     jsonb NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    changed_at   timestamptz NOT NULL DEFAULT now()
);
-- One deployment holds an environment.
CREATE UNIQUE INDEX deployments_holder ON deployments (organization, project, environment) WHERE holds;
CREATE INDEX deployments_wake_at ON deployments (wake_at) WHERE wake_at IS NOT NULL;
CREATE INDEX deployments_wants ON deployments (wants, arrival) WHERE wants IS NOT NULL;
CREATE INDEX deployments_live ON deployments (organization, project, environment, arrival)
    WHERE state IN ('authorizing', 'waiting', 'building', 'queued');

CREATE TABLE environments (
    organization   text NOT NULL,
    project        text NOT NULL,
    environment    text NOT NULL,
    epoch          bigint NOT NULL DEFAULT 0,
    newest_arrival bigint NOT NULL DEFAULT 0,
    newest_commit  text,             -- the newest authorised one
    record         jsonb NOT NULL DEFAULT '{"releases": {}, "databases": {}}',
    deployment     text,             -- whose record it is
    PRIMARY KEY (organization, project, environment)
);

-- What an environment ran after each deployment that succeeded: where a roll-back returns to.
CREATE TABLE records (
    deployment   text PRIMARY KEY,
    organization text NOT NULL,
    project      text NOT NULL,
    environment  text NOT NULL,
    position     bigint GENERATED ALWAYS AS IDENTITY,
    record       jsonb NOT NULL,
    change       jsonb,
    recorded_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX records_newest ON records (organization, project, environment, position DESC);

-- The last change taken of each ref: an equal one is the same change.
CREATE TABLE changes (
    organization text NOT NULL,
    project      text NOT NULL,
    connection   text NOT NULL,
    ref          text NOT NULL,
    commit       text NOT NULL,
    arrival      bigint NOT NULL,
    change       jsonb NOT NULL,
    deployments  text[] NOT NULL DEFAULT '{}',
    PRIMARY KEY (organization, project, connection, ref)
);

CREATE SEQUENCE arrivals;
