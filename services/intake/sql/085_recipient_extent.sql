-- How much of the data was told of, so that a recipient of whom less was said is told again of what was done since.
ALTER TABLE recipient_notice ADD COLUMN extent text NOT NULL DEFAULT '';
