"""Renders letters, sends them by SMTP or to the print queue, and reads the mailbox.

Intake decides what is sent and keeps the facts; this service reports what became of each letter.
It opens vault rows of letters and mail alone.
May import `shared`. It shares no code with another service.
"""
