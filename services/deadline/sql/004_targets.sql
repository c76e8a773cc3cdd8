-- The staff's targets: which step of a request is taken, when to look at it next, and what was told already. A request that
-- was received before this version is not watched: nobody noted its steps.
ALTER TABLE clock
    ADD COLUMN watched        boolean NOT NULL DEFAULT false,
    ADD COLUMN next_target_at timestamptz;              -- null: not watched, or every target was judged

-- A look costs what is due, not what is open.
CREATE INDEX clock_next_target ON clock (next_target_at) WHERE next_target_at IS NOT NULL;

-- Noted by itself, since the end of the work may be heard before the receipt: they come on two topics.
CREATE TABLE step (
    request_id uuid        NOT NULL,
    step       text        NOT NULL,
    taken_at   timestamptz NOT NULL,
    PRIMARY KEY (request_id, step)
);

-- Each target is told once, however often its date is computed.
CREATE TABLE missed_target (
    request_id uuid        NOT NULL,
    target     text        NOT NULL,
    target_on  date        NOT NULL,
    told_at    timestamptz NOT NULL,
    PRIMARY KEY (request_id, target)
);

-- The page of each day is opened once.
CREATE TABLE daily_page (
    day       date PRIMARY KEY,
    opened_at timestamptz NOT NULL
);
