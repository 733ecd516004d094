-- What those are shown who may see single projects or environments: of each what came after a position.

CREATE INDEX events_project ON events (organization, project, position);
CREATE INDEX cdevents_project ON cdevents (organization, project, position);
