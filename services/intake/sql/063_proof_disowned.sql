-- Whoever has a link may say that they have asked for nothing: then no link or code of that request is good any more.
ALTER TABLE proof_link ADD COLUMN disowned_at timestamptz;
CREATE INDEX proof_link_stopped ON proof_link (request_id) WHERE failures > 0 OR disowned_at IS NOT NULL;
