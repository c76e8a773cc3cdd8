-- One fulfilment per request and operation, one task per downstream system and stage.
CREATE TABLE fulfilment (
    fulfilment_id uuid PRIMARY KEY,
    request_id    uuid        NOT NULL,
    subject_ref   uuid        NOT NULL,
    "right"       text        NOT NULL,
    operation     text        NOT NULL,
    details       jsonb       NOT NULL,      -- what the operation needs next to identities; never personal data
    due_on        date        NOT NULL,
    confirmed     jsonb       NOT NULL DEFAULT '{}',  -- system -> limit -> how much two people have confirmed
    searches      boolean     NOT NULL,      -- for a subject; not where it is about the request alone
    state         text        NOT NULL CHECK (state IN ('open', 'blocked', 'complete', 'cancelled')),
    traceparent   text,
    opened_at     timestamptz NOT NULL,
    -- Stopped before it erases: another request of the same person comes first.
    held          boolean     NOT NULL DEFAULT false,
    -- The customer whose instruction it is: nothing but that customer's data is looked at.
    tenant        text
) WITH (fillfactor = 70);
CREATE INDEX fulfilment_request ON fulfilment (request_id);

CREATE TABLE task (
    task_id       uuid PRIMARY KEY,
    fulfilment_id uuid        NOT NULL,
    system        text        NOT NULL,
    operation     text        NOT NULL,
    stage         smallint    NOT NULL,
    due_on        date        NOT NULL,
    state         text        NOT NULL CHECK (state IN ('waiting', 'ready', 'leased', 'done', 'failed', 'cancelled')),
    attempt       int         NOT NULL,
    not_before    timestamptz NOT NULL,      -- not to be tried again before
    leased_by     uuid,                      -- the process that has it in hand
    reaped        smallint    NOT NULL DEFAULT 0,  -- in a row: its process went silent while it had this in hand
    progress      jsonb       NOT NULL,      -- what attempts noted: counts and references
    receipt       jsonb,
    failure       text,
    why           jsonb,                     -- of what waits for a person: its sentence and the limit; never personal data
    -- A task by which a system that is not switched on is only asked: no answer waits for it, and nothing follows from it.
    observes      boolean     NOT NULL DEFAULT false,
    -- Whether it stops the use of a person's data immediately by what they have stated, while other systems are still located.
    immediate     boolean     NOT NULL DEFAULT false
) WITH (fillfactor = 70);
CREATE INDEX task_fulfilment ON task (fulfilment_id);
CREATE INDEX task_ready ON task (system, operation, due_on, task_id) WHERE state = 'ready';
CREATE INDEX task_leased ON task (leased_by) WHERE leased_by IS NOT NULL;
-- Tasks that wait for a person are few, and are counted every few seconds.
CREATE INDEX task_failed ON task (system, operation) WHERE state = 'failed';
CREATE INDEX task_observes ON task (system) WHERE observes AND state IN ('waiting', 'ready');

-- A process that works tasks, while it is alive: its row is renewed a few times in a second, and removed by the process
-- that finds it expired; then all that it had leased goes to others.
CREATE TABLE worker_process (
    process_id  uuid PRIMARY KEY,
    alive_until timestamptz NOT NULL         -- by the database's clock
) WITH (fillfactor = 10);
