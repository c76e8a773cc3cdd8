-- The contact on file is asked of an account that a requester has named and not proved: one row for each request. What was named, and the
-- contacts, lie in the vault under `ask_id`; letters to them, and the evidence of what came of it, have that id too, and not the request's.
CREATE TABLE contact_asked (
    ask_id       uuid PRIMARY KEY,
    request_id   uuid        NOT NULL UNIQUE,
    named        bytea       NOT NULL,           -- keyed fingerprint of the account
    asker        bytea       NOT NULL,           -- keyed mark of the mailbox from which they ask
    state        text        NOT NULL CHECK (state IN ('sought', 'asked', 'not_asked')),
    reason       text,                           -- why nobody was asked
    sought_at    timestamptz NOT NULL,
    until        timestamptz NOT NULL,           -- until when a lookup is of use
    failures     integer     NOT NULL DEFAULT 0, -- wrong codes since the last good one
    stopped_at   timestamptz,                    -- so many were wrong that none is good any more
    disowned_at  timestamptz                     -- whoever got the letter says that they have asked for nothing
);

-- Codes that went to a contact on file, each with a link by which its reader can only say that they have asked for nothing.
CREATE TABLE contact_code (
    code_id    uuid PRIMARY KEY,
    ask_id     uuid        NOT NULL,
    token_hash bytea       NOT NULL UNIQUE,
    code_hash  bytea       NOT NULL,             -- keyed
    address    bytea       NOT NULL,             -- keyed fingerprint of where it went
    mailbox    bytea       NOT NULL,             -- keyed mark of the mailbox
    sent_at    timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at    timestamptz
);
CREATE INDEX contact_code_ask ON contact_code (ask_id);
CREATE INDEX contact_code_mailbox ON contact_code (mailbox, sent_at);
CREATE INDEX contact_asked_named ON contact_asked (named);
CREATE INDEX contact_asked_stopped ON contact_asked (request_id) WHERE stopped_at IS NOT NULL OR disowned_at IS NOT NULL OR reason = 'withheld';
