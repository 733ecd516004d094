-- Whether a deployment has taken its environment, asked without reading its page as JSON: that may hold U+0000, which jsonb refuses.

ALTER TABLE deployments ADD COLUMN epoch bigint;
UPDATE deployments SET epoch = substring(view FROM '"epoch":(\d+)')::bigint;  -- in a text the quotes would be escaped
