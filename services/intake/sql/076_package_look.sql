-- Who has looked into a package while it was withheld for that reason: only they may say that it is the subject's.
CREATE TABLE package_look (
    package_id uuid        NOT NULL,
    fault      text        NOT NULL,
    holder     text        NOT NULL,
    request_id uuid        NOT NULL,
    looked_at  timestamptz NOT NULL,         -- when all of it had been handed to them
    PRIMARY KEY (package_id, fault, holder)
);
CREATE INDEX package_look_request ON package_look (request_id);
