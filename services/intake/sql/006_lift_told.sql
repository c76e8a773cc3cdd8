-- When the subject was told that what a request had restricted is lifted (Art. 18(3)); null while it is not.
ALTER TABLE request ADD COLUMN lift_told_at timestamptz;
CREATE INDEX request_restricts_account ON request (proved_account)
    WHERE "right" IN ('restriction', 'objection', 'rectification') AND lift_told_at IS NULL AND proved_account IS NOT NULL;
CREATE INDEX request_restricts_email ON request (proved_email)
    WHERE "right" IN ('restriction', 'objection', 'rectification') AND lift_told_at IS NULL AND proved_email IS NOT NULL;
