-- What a service set aside of each topic within a day, and since when it leaves the topic alone because that was too much.
CREATE TABLE consumed_topic (
    topic        text PRIMARY KEY,
    since        timestamptz NOT NULL,      -- of the first dead letter of this day
    dead_letters integer     NOT NULL,
    paused_at    timestamptz
);
