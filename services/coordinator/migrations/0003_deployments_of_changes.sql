-- What a change has made is asked where it comes again.
CREATE INDEX deployments_change ON deployments ((origin->>'change'));
