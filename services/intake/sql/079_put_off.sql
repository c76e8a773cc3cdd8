-- Since when the mail server has put a letter off (4xx): after some days a person must see to it.
ALTER TABLE delivery ADD COLUMN put_off_at timestamptz;
