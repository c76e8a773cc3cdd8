-- What the same person's erasures, for which a request waited, had erased by then: reports in counts, as in tasks.
ALTER TABLE request ADD COLUMN erased_meanwhile jsonb;
