-- Accounts whose contact on file is to be looked up: each is in the hands of one process until `not_before`, and then anybody's.
CREATE TABLE contact_lookup (
    ask_id      uuid PRIMARY KEY,               -- of the vault: what was named, and what is found
    request_id  uuid        NOT NULL,
    "right"     text        NOT NULL,
    until       timestamptz NOT NULL,
    attempt     integer     NOT NULL DEFAULT 0,
    not_before  timestamptz NOT NULL,
    traceparent text
) WITH (fillfactor = 70);
CREATE INDEX contact_lookup_due ON contact_lookup (not_before);
