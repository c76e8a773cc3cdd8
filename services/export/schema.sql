-- An answer that waits for its package: what was collected is checked, packed and sealed outside of any transaction, by
-- whichever process has the row, and by another once that process has gone silent.
CREATE TABLE package_due (
    package_id    uuid PRIMARY KEY,          -- UUIDv7: those of one request are made in the order in which they were asked for
    fulfilment_id uuid        NOT NULL,
    request_id    uuid        NOT NULL,
    subject_ref   uuid        NOT NULL,
    decided       boolean     NOT NULL,      -- two people have decided the answer, of what there is; else all is collected
    due_on        date        NOT NULL,
    attempt       int         NOT NULL DEFAULT 0,
    not_before    timestamptz NOT NULL,      -- not to be tried again before
    made_by       uuid,                      -- the process that has it in hand
    traceparent   text
) WITH (fillfactor = 70);
CREATE INDEX package_due_order ON package_due (due_on, package_id);
CREATE INDEX package_due_request ON package_due (request_id);
