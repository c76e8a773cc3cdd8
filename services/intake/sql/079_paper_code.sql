-- How often a wrong code was typed for a request that was asked for by post; whoever types the right one has no row.
CREATE TABLE paper_code_failure (
    request_id uuid PRIMARY KEY,
    failures   integer     NOT NULL,
    last_at    timestamptz NOT NULL
);
