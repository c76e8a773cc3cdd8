-- What somebody of ours has written back to a mail. It lies in the vault under a key of its own, which has the id of the letter: the mail may
-- be gone before the answer is delivered. In `delivery` it stands with the id of the mail.
CREATE TABLE mail_answer (
    letter_id  uuid PRIMARY KEY,
    mail_id    uuid        NOT NULL,
    written_by text        NOT NULL,         -- the holder of a key, or who has signed in
    written_at timestamptz NOT NULL
);
CREATE INDEX mail_answer_mail ON mail_answer (mail_id, letter_id);
