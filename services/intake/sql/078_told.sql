-- When the subject was told of an extension: by e-mail or post, once the letter was accepted or posted, and not while it has come back.
ALTER TABLE extension ADD COLUMN told_at timestamptz;
UPDATE extension SET told_at = approved_at;
-- Since when the mail server has put a letter off (4xx): after some days a person must see to it.
ALTER TABLE delivery ADD COLUMN put_off_at timestamptz;
