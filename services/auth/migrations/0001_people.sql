-- People, what they may do, how they are known, and what was done.

CREATE TABLE people (
    id text PRIMARY KEY,
    name text NOT NULL,
    email text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    removed_at timestamptz -- the row stays: the audit log names it
);

CREATE TABLE identities (
    person text NOT NULL REFERENCES people,
    forge text NOT NULL,
    login text NOT NULL DEFAULT '',
    login_folded text NOT NULL DEFAULT '',
    account_id text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK (login <> '' OR account_id <> '')
);
CREATE UNIQUE INDEX identities_by_account ON identities (forge, account_id) WHERE account_id <> '';
-- One person a login; an account that gave its login up keeps its id, and loses the login here when another is linked.
CREATE UNIQUE INDEX identities_by_login ON identities (forge, login_folded) WHERE login_folded <> '';
CREATE INDEX identities_by_person ON identities (person);

CREATE TABLE grants (
    person text NOT NULL REFERENCES people,
    resource text NOT NULL, -- organization/o, project/o/p, environment/o/p/e
    organization text NOT NULL,
    role text NOT NULL CHECK (role IN ('viewer', 'deployer', 'admin')),
    granted_by text NOT NULL,
    granted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (person, resource)
);
CREATE INDEX grants_by_organization ON grants (organization, person);

CREATE TABLE tokens (
    id text PRIMARY KEY,
    person text NOT NULL REFERENCES people,
    name text NOT NULL,
    prefix text NOT NULL,
    digest bytea NOT NULL UNIQUE, -- SHA-256
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    last_used_at timestamptz, -- written with a delay
    revoked_at timestamptz
);
CREATE INDEX tokens_by_person ON tokens (person, id);

CREATE TABLE audit_heads (
    organization text PRIMARY KEY,
    number bigint NOT NULL,
    hash bytea NOT NULL
);

CREATE TABLE audit (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text NOT NULL UNIQUE,
    time timestamptz NOT NULL,
    organization text NOT NULL,
    number bigint NOT NULL,
    subject text NOT NULL,
    action text NOT NULL,
    resource text NOT NULL,
    allowed boolean NOT NULL,
    rule text NOT NULL,
    details text NOT NULL,
    key text UNIQUE, -- the command that it answers: one entry however often it is delivered
    hash bytea NOT NULL,
    UNIQUE (organization, number)
);
CREATE INDEX audit_by_organization ON audit (organization, position);
