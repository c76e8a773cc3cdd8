-- By what letters with a link are counted: the mailbox, and who asked (keyed marks, that of who asked another one each day).
ALTER TABLE proof_link ADD COLUMN mailbox bytea;
ALTER TABLE proof_link ADD COLUMN asker bytea;
ALTER TABLE proof_link ADD COLUMN first boolean NOT NULL DEFAULT false; -- the first of its request: the others were asked for later
CREATE INDEX proof_link_mailbox ON proof_link (mailbox, sent_at);
DROP INDEX proof_link_address;

-- Requests of which a link was withheld, and none was sent since: a person sees to them while they wait for proof.
CREATE TABLE proof_withheld (
    request_id  uuid PRIMARY KEY,
    withheld_at timestamptz NOT NULL
);
