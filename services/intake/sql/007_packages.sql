-- What is told of a package after it was made: that it is no longer kept, or is being made anew.
ALTER TABLE request
    ADD COLUMN package_gone uuid,                       -- the package that was fetched as often as it may be, or expired
    ADD COLUMN renewing     boolean NOT NULL DEFAULT false;

-- Who has looked at a package that is withheld for that reason, and says that it is the subject's; with two it is released.
CREATE TABLE package_release (
    package_id uuid        NOT NULL,
    fault      text        NOT NULL,
    request_id uuid        NOT NULL,
    first      text        NOT NULL,         -- holders of two keys, who are two persons
    first_at   timestamptz NOT NULL,
    second     text,
    second_at  timestamptz,
    PRIMARY KEY (package_id, fault)
);
CREATE INDEX package_release_request ON package_release (request_id);
