-- By which rules a system keeps what it keeps, from which anchor and for which period, and by which version of the policy its day was
-- computed: a shorter rule holds at once.
ALTER TABLE deferral ADD COLUMN kept jsonb, ADD COLUMN policy text;
CREATE INDEX deferral_policy ON deferral (policy) WHERE state = 'scheduled' AND kept IS NOT NULL;
