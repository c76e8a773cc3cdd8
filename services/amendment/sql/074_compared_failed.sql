-- Whether the last look could not compare it: its list could not be read.
ALTER TABLE compared ADD COLUMN failed boolean NOT NULL DEFAULT false;
