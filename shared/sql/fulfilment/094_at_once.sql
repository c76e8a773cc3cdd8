-- Whether it stops somebody's data at once by what they have stated, while others are still asked what they know of them.
ALTER TABLE task ADD COLUMN at_once boolean NOT NULL DEFAULT false;
