-- What two persons have agreed of a breach they have agreed of the breach as it was stated then.
ALTER TABLE breach_assessment ADD COLUMN void_at timestamptz; -- when what was judged was stated otherwise; it counts no more
