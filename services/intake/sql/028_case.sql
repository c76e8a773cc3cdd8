-- What came in one message: the request of its first right, by whose id the person knows all of them.
ALTER TABLE request ADD COLUMN case_id uuid;
CREATE INDEX request_case ON request (case_id) WHERE case_id IS NOT NULL;
