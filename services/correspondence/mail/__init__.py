"""Reads the mailbox: each mail once, in a process of its own, as a proposal for a person.

Parsing runs in a child process that can reach neither network nor database.
May import `shared` and `services.correspondence`.
"""
