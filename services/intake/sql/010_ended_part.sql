-- Of a proposal to end what is missing in one system: which.
ALTER TABLE proposal ADD COLUMN system text;
