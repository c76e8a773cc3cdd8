"""Reads the mailbox: each mail once, in a process of its own, to be put before a person."""
