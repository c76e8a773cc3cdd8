-- How a letter reaches whoever does not fetch it: by e-mail, or on paper. A letter that is not here is read where it was asked for.
CREATE TABLE delivery (
    letter_id   uuid PRIMARY KEY,            -- its words are in the vault, and with them where it goes
    request_id  uuid        NOT NULL,
    kind        text        NOT NULL,
    way         text        NOT NULL CHECK (way IN ('email', 'post')),
    state       text        NOT NULL CHECK (state IN ('waiting', 'sent', 'person', 'spared', 'given_up')),
    fault       text,                        -- why a person must see to it, or why it was tried in vain
    awaited     jsonb,                       -- what is said once it is delivered: that the subject was told
    address     bytea,                       -- keyed fingerprint of an e-mail address
    written_at  timestamptz NOT NULL,
    written_on  date        NOT NULL,
    next_try_at timestamptz NOT NULL,        -- while it is tried: when another process may
    tries       integer     NOT NULL DEFAULT 0,
    sent_at     timestamptz                  -- accepted by the next server, or the day it was posted
) WITH (fillfactor = 80);
CREATE INDEX delivery_waiting ON delivery (way, next_try_at) WHERE state = 'waiting';
CREATE INDEX delivery_for_a_person ON delivery (written_at) WHERE state = 'person';
CREATE INDEX delivery_request ON delivery (request_id, letter_id);
-- An address is sent one acknowledgement a day, whoever writes to us in its name.
CREATE UNIQUE INDEX delivery_acknowledged ON delivery (address, written_on)
    WHERE kind = 'acknowledgement' AND way = 'email' AND state <> 'spared';
