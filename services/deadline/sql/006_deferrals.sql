-- What a system had to keep of a subject when the rest was erased, until it may go (Art. 17(3)); one row per system.
CREATE TABLE deferral (
    request_id  uuid        NOT NULL,
    system      text        NOT NULL,
    task_id     uuid        NOT NULL,     -- the receipt that says so; a later one replaces it
    ground      text        NOT NULL,
    until       date,                     -- the last day on which it may be kept; null: nobody knows
    due_at      timestamptz,              -- when that day is over where the controller is
    state       text        NOT NULL CHECK (state IN ('scheduled', 'held', 'released', 'done')),
    noted_at    timestamptz NOT NULL,
    released_at timestamptz,
    done_at     timestamptz,
    PRIMARY KEY (request_id, system),
    CHECK (state <> 'scheduled' OR due_at IS NOT NULL)
) WITH (fillfactor = 80);

-- A look costs what is due, not what is kept.
CREATE INDEX deferral_due ON deferral (due_at) WHERE state = 'scheduled';
CREATE INDEX deferral_open_figures ON deferral (system, state) INCLUDE (due_at) WHERE state <> 'done';
