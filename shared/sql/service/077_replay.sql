-- Orders of people that the service hears again what it has set aside, and what came of each.
CREATE TABLE replay (
    replay_id  uuid PRIMARY KEY,
    asked_by   text        NOT NULL,         -- the account of whoever has signed in
    asked_at   timestamptz NOT NULL,
    begun_at   timestamptz,                  -- by a process that may have ended since
    done_at    timestamptz,
    heard      integer,                      -- records that were handled now, or had been before
    refused    integer,                      -- that cannot be handled now either
    unreadable integer,                      -- of which nothing was kept that could be heard
    left_alone integer,                      -- of topics that are paused, or that the service reads no more
    fault      text                          -- why the broker gave none of them
);
CREATE UNIQUE INDEX replay_open ON replay ((true)) WHERE done_at IS NULL;
