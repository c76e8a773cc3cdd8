-- What an erasure would do, as the systems said when they were asked last (a dry run): reports in counts, as in tasks.
CREATE TABLE plan (
    request_id uuid PRIMARY KEY,
    plan_id    uuid        NOT NULL,
    asked_at   timestamptz NOT NULL,
    made_at    timestamptz,             -- null until every system has been asked
    tasks      jsonb
);
