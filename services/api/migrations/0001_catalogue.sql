-- What people describe: organizations, projects, environments and what belongs to them.
-- Slugs are the keys: they never change, and stand in subjects, paths and hosts.

CREATE TABLE targets (
    name       text PRIMARY KEY,
    public_key text NOT NULL,  -- X25519, base64: what secret values are sealed to
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE organizations (
    slug       text PRIMARY KEY,
    name       text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE projects (
    organization text NOT NULL REFERENCES organizations ON DELETE RESTRICT,
    slug         text NOT NULL,
    name         text NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization, slug)
);

CREATE TABLE environments (
    organization   text NOT NULL,
    project        text NOT NULL,
    slug           text NOT NULL,
    name           text NOT NULL,
    kind           text NOT NULL CHECK (kind IN ('development', 'staging', 'production', 'preview')),
    target         text NOT NULL REFERENCES targets,
    ref            text NOT NULL,            -- the ref it follows; `*` matches any part of a name
    connection     text,                     -- null: any connection of its project
    needs_approval boolean NOT NULL DEFAULT false,
    version        bigint NOT NULL DEFAULT 1, -- grows with each change of what a deployment would read
    created_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization, project, slug),
    FOREIGN KEY (organization, project) REFERENCES projects ON DELETE RESTRICT
);

-- What the manifest does not say of a service.
CREATE TABLE service_settings (
    organization text NOT NULL,
    project      text NOT NULL,
    environment  text NOT NULL,
    service      text NOT NULL,
    domains      text[] NOT NULL DEFAULT '{}',
    memory_bytes bigint NOT NULL DEFAULT 0,  -- 0: not said
    cpu          double precision NOT NULL DEFAULT 0,
    build_args   jsonb NOT NULL DEFAULT '{}',
    updated_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization, project, environment, service),
    FOREIGN KEY (organization, project, environment) REFERENCES environments ON DELETE CASCADE
);
-- A domain belongs to one service of one organization.
CREATE TABLE domains (
    host         text PRIMARY KEY,
    organization text NOT NULL,
    project      text NOT NULL,
    environment  text NOT NULL,
    service      text NOT NULL,
    FOREIGN KEY (organization, project, environment, service) REFERENCES service_settings ON DELETE CASCADE
);

-- Each change is a row; null means unset. The newest row of a name counts.
CREATE TABLE variables (
    organization text NOT NULL,
    project      text NOT NULL,
    environment  text NOT NULL,
    service      text NOT NULL DEFAULT '',   -- '': the whole environment
    name         text NOT NULL,
    version      bigint NOT NULL,
    value        text,
    created_by   text NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization, project, environment, service, name, version),
    FOREIGN KEY (organization, project, environment) REFERENCES environments ON DELETE CASCADE
);

-- Versions count per project and name, over all scopes, so that (name, version) is one value.
-- Former versions stay: a roll-back needs those that its releases pinned.
CREATE TABLE secrets (
    organization text NOT NULL,
    project      text NOT NULL,
    name         text NOT NULL,
    version      bigint NOT NULL,
    environment  text NOT NULL DEFAULT '',   -- '': the whole project
    sealed       bytea,                      -- null: unset
    created_by   text NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization, project, name, version),
    FOREIGN KEY (organization, project) REFERENCES projects ON DELETE CASCADE
);
CREATE INDEX secrets_scope ON secrets (organization, project, environment, name, version DESC);

CREATE TABLE connections (
    name           text PRIMARY KEY,         -- unique in the installation: the path /hooks/<name>
    organization   text NOT NULL,
    project        text NOT NULL,
    forge          text NOT NULL,
    repository     text NOT NULL,
    clone_url      text NOT NULL,
    api_url        text NOT NULL DEFAULT '',
    sealed_secrets bytea[] NOT NULL,         -- newest first; the former one during a rotation
    sealed_token   bytea,
    version        bigint NOT NULL DEFAULT 1,
    created_at     timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (organization, project) REFERENCES projects ON DELETE RESTRICT
);
CREATE INDEX connections_project ON connections (organization, project);

CREATE TABLE channels (
    organization text NOT NULL REFERENCES organizations ON DELETE RESTRICT,
    name         text NOT NULL,
    project      text NOT NULL DEFAULT '',   -- '': all projects
    kind         text NOT NULL CHECK (kind IN ('webhook', 'chat', 'forge')),
    sealed_url   bytea NOT NULL,             -- chat addresses hold credentials
    sealed_secret bytea NOT NULL,
    events       text[] NOT NULL DEFAULT '{}',
    forge        text NOT NULL DEFAULT '',
    api_url      text NOT NULL DEFAULT '',
    repository   text NOT NULL DEFAULT '',
    version      bigint NOT NULL DEFAULT 1,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization, name)
);

-- Audit entries of changes made here, on their way to auth.
CREATE TABLE audit_pending (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id       text NOT NULL,
    time     timestamptz NOT NULL DEFAULT now(),
    subject  text NOT NULL,
    action   text NOT NULL,
    resource text NOT NULL,
    details  text NOT NULL DEFAULT ''
);

-- Answers to POSTs that came with an Idempotency-Key, sealed because some hold a secret that is shown once.
CREATE TABLE idempotency (
    subject     text NOT NULL,
    key         text NOT NULL,
    fingerprint text NOT NULL,  -- SHA-256 of method, path and body
    status      integer,
    sealed_body bytea,
    headers     jsonb NOT NULL DEFAULT '{}',
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (subject, key)
);
CREATE INDEX idempotency_created_at ON idempotency (created_at);

-- One key a project, and one an organization, encrypted by the master key. With the row its values are gone.
CREATE TABLE data_keys (
    scope      text PRIMARY KEY,  -- project/<o>/<p>, organization/<o>
    sealed_key bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
