-- Who has said that a system which a person has quarantined may be worked again; with the second it is.
ALTER TABLE downstreams.system ADD COLUMN released_by text[] NOT NULL DEFAULT '{}';
