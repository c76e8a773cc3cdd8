"""Sends and receives: renders letters, sends them by SMTP, and reads the mailbox; it decides nothing."""
