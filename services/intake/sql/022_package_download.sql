-- Downloads of packages that may be continued: a package that is fetched in several parts is counted once.
CREATE TABLE package_download (
    package_id uuid        NOT NULL,
    holder     text        NOT NULL,         -- of the key that fetches it
    request_id uuid        NOT NULL,
    began_at   timestamptz NOT NULL,
    PRIMARY KEY (package_id, holder)
);
CREATE INDEX package_download_request ON package_download (request_id);
