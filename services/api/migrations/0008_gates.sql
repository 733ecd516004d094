-- What an environment asks outside tools before a stage. Each has a user of its own on the bus, and one consumer that it may read.

CREATE TABLE gates (
    organization  text NOT NULL,
    name          text NOT NULL,               -- unique in the organization: its subject on the bus ends with it
    id            text NOT NULL UNIQUE,        -- another one of the same name is another
    project       text NOT NULL,
    environment   text NOT NULL,
    before        text NOT NULL CHECK (before IN ('build', 'deploy', 'switch')),
    deadline_s    double precision NOT NULL CHECK (deadline_s > 0),
    fallback      text NOT NULL CHECK (fallback IN ('pass', 'fail')), -- where nobody answers in time
    password_hash text NOT NULL,               -- bcrypt; the password, which is its token too, is nowhere
    read_until    timestamptz,                 -- when what it acknowledged last was stored: a consumer that was lost begins here again
    created_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization, name),
    FOREIGN KEY (organization, project, environment) REFERENCES environments ON DELETE CASCADE
);
CREATE INDEX gates_of_environment ON gates (organization, project, environment);
