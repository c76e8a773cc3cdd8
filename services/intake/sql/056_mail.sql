-- Mail that came to our mailbox: its key, so that it is read once, and what became of it. What it says is in the vault.
CREATE TABLE mail (
    mail_id     uuid PRIMARY KEY,            -- in the vault, under a key of its own, until somebody has decided
    message_id  bytea,                       -- keyed; null: it has none
    digest      bytea       NOT NULL,        -- keyed: of what two copies of one mail have in common
    doubled     boolean     NOT NULL,        -- another mail of that Message-ID says something else
    received_at timestamptz NOT NULL,        -- when it reached us
    by_mx       boolean     NOT NULL,        -- as our mail exchanger has written; else as the mailbox says
    read_at     timestamptz NOT NULL,
    state       text        NOT NULL CHECK (state IN ('proposed', 'automatic', 'reply', 'confirmed', 'dismissed', 'done')),
    request_id  uuid,                        -- which it has become, or answers
    reason      text,                        -- why it is no request
    decided_by  text,
    decided_at  timestamptz
);
CREATE UNIQUE INDEX mail_key ON mail (digest);
CREATE INDEX mail_message ON mail (message_id) WHERE message_id IS NOT NULL;
CREATE INDEX mail_open ON mail (state, received_at, mail_id) WHERE state IN ('proposed', 'automatic', 'reply');
CREATE INDEX mail_decided ON mail (decided_at) WHERE decided_at IS NOT NULL;
CREATE INDEX mail_request ON mail (request_id) WHERE request_id IS NOT NULL;

-- How far each mailbox was read: the mailbox itself stays as it was.
CREATE TABLE mailbox (
    name        text PRIMARY KEY,            -- server, user and folder
    uidvalidity bigint      NOT NULL,
    uid         bigint      NOT NULL,
    read_at     timestamptz NOT NULL
);
