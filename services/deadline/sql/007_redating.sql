-- What a clock's dates are computed from besides its receipt, so that they can be computed anew; and the receipt that was replaced.
ALTER TABLE clock
    ADD COLUMN role  text NOT NULL DEFAULT 'controller',     -- what we are for the data: the controller or a processor
    ADD COLUMN scope text;
ALTER TABLE clock_before
    ADD COLUMN received_at timestamptz,
    ADD COLUMN zones       text[],
    ADD COLUMN calendar    text;
