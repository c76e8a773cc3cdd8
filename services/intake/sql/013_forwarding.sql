-- A part of a request about which a customer of ours decides, and what was passed on to one.
ALTER TABLE request
    ADD COLUMN forward_by            date,        -- by when they get their part; null: it is all ours, or all theirs
    ADD COLUMN forwarding_overdue    boolean NOT NULL DEFAULT false,
    ADD COLUMN forwarded_at          timestamptz,
    ADD COLUMN controller_replied_at timestamptz;
