"""Consumes events of the other services, and user events of emitters, each on a topic of its own.

May import `actions` and lower packages.
"""
