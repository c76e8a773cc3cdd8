"""Renders letters, sends them by e-mail, and reads the mailbox.

`handlers` renders what intake asks for, `post` sends it over SMTP, and `mail` reads incoming mail over IMAP.
Intake decides what is sent, keeps the facts and the print queue; this service reports what became of each letter.
It opens vault rows of letters and mail alone.
May import `shared`, and no other service.
"""
