-- Organizations, projects and environments that were deleted, until auth has taken the roles on them away.
-- None is made again under the name before that: the roles of the former one would hold on it.

CREATE TABLE forgotten (
    resource     text PRIMARY KEY,           -- organization/o, project/o/p, environment/o/p/e
    by           text NOT NULL,
    forgotten_at timestamptz NOT NULL DEFAULT now()
);
