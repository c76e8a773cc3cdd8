-- When each system was last asked whom it would send marketing to.
CREATE TABLE compared (
    system      text PRIMARY KEY,
    compared_at timestamptz NOT NULL
);
