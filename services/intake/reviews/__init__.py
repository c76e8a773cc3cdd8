"""Holds the reviews of the privacy team next to requests: legal holds, retention runs, systems, number conflicts.

May import `packages` and lower packages.
"""
