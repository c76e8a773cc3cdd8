-- Up to which change of the register of numbers a request that waits because of one was looked at.
ALTER TABLE request ADD COLUMN register_seen_at timestamptz;
CREATE INDEX request_owed ON request (request_id) WHERE state = 'closed' AND owed;
