-- CDEvents as they came, for readers over HTTP: as long as the bus keeps them.

CREATE TABLE cdevents (
    position     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,  -- in order of commit: readers go by it
    id           text NOT NULL UNIQUE,
    organization text NOT NULL,
    project      text,
    environment  text,
    kind         text NOT NULL,  -- subject and predicate: build.started
    body         text NOT NULL,  -- as it came
    stored_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX cdevents_organization ON cdevents (organization, position);
CREATE INDEX cdevents_stored_at ON cdevents USING brin (stored_at);
