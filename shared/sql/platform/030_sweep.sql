-- The nightly sweep: what is past a ceiling of the policy goes from every table that says how old its rows are. A row for each table and
-- ceiling, as the last night left it. Nothing here names anybody.
CREATE TABLE downstreams.sweep (
    system       text   NOT NULL,
    table_name   text   NOT NULL,
    ceiling      text   NOT NULL,                   -- its name in the policy
    category     text   NOT NULL,                   -- as the system calls it
    sweep_id     uuid   NOT NULL UNIQUE,            -- of what it stands for: two persons confirm that and nothing else
    action       text   NOT NULL CHECK (action IN ('delete', 'anonymise')),
    state        text   NOT NULL CHECK (state IN ('unsigned', 'no_country', 'dry_run', 'stopped', 'sweeping', 'swept', 'failed')),
    night        date   NOT NULL,                   -- the local day on which this was found
    period       text   NOT NULL,                   -- with zone and anchor: what the ceiling said
    zone         text   NOT NULL,
    anchor       text   NOT NULL,
    counted_on   date,                              -- the night on which these terms ran dry; none: they have not
    first_kept   date   NOT NULL,                   -- the first local day whose rows stay
    due          bigint NOT NULL DEFAULT 0,
    of_rows      bigint NOT NULL DEFAULT 0,
    gone         bigint NOT NULL DEFAULT 0,
    spared       bigint NOT NULL DEFAULT 0,
    missed       bigint NOT NULL DEFAULT 0,         -- past the ceiling for more than a day, still there, and spared by nobody
    reason       text,                              -- why it failed: a code
    policy       text   NOT NULL,                   -- its version
    confirmed_by text[] NOT NULL DEFAULT '{}',
    PRIMARY KEY (system, table_name, ceiling)
);
