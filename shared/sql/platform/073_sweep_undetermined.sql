-- Rows past a maximum of one country's law of which nobody can tell whether they are under that law: they stay until what is for everybody.
ALTER TABLE downstreams.sweep ADD COLUMN undetermined bigint NOT NULL DEFAULT 0;
