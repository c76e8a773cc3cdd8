-- Letters that go by e-mail, by id alone: the letter is in the vault, and how far it has come intake shows.
CREATE TABLE notice (
    notice_id   uuid PRIMARY KEY,
    request_id  uuid        NOT NULL,
    "right"     text        NOT NULL,
    kind        text        NOT NULL,
    threaded    boolean     NOT NULL,        -- it joins the mails exchanged with the requester
    written_at  timestamptz NOT NULL,
    state       text        NOT NULL CHECK (state IN ('waiting', 'sent', 'failed')),
    next_try_at timestamptz NOT NULL,        -- while it is tried: when another process may
    tries       integer     NOT NULL DEFAULT 0,
    put_off_at  timestamptz,                 -- since when the mail server has answered with 4xx
    settled_at  timestamptz
) WITH (fillfactor = 80);
CREATE INDEX notice_waiting ON notice (next_try_at) WHERE state = 'waiting';
CREATE INDEX notice_request ON notice (request_id, notice_id);
CREATE INDEX notice_settled ON notice (settled_at) WHERE state <> 'waiting';

-- How far each mailbox was read, and which mail is being read: the mailbox itself stays as it was.
CREATE TABLE mailbox (
    name        text PRIMARY KEY,            -- server, user and folder
    uidvalidity bigint      NOT NULL,
    uid         bigint,                      -- the last that was read
    trying      bigint      NOT NULL,        -- the one that a process reads, or read last
    tries       integer     NOT NULL,        -- of that one, each noted before it begins
    until       timestamptz NOT NULL         -- for so long no other process reads the mailbox
);
