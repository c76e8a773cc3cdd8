-- Where the subject lives (ISO 3166), if anybody has said it: the holidays of a request are somebody's also where nobody has.
ALTER TABLE request ADD COLUMN country text;
