-- The newest change taken of each change request: what arrived before it changes nothing.
CREATE TABLE change_requests (
    organization text NOT NULL,
    project      text NOT NULL,
    connection   text NOT NULL,
    repository   text NOT NULL,
    number       text NOT NULL,
    commit       text NOT NULL,
    arrival      bigint NOT NULL,
    closed       boolean NOT NULL,
    deployments  text[] NOT NULL DEFAULT '{}',
    taken_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization, project, connection, repository, number)
);
