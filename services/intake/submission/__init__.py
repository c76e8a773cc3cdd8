"""Accepting requests: bodies, checks, and one commit shared by many.

Includes what an officer enters by hand.
May import `identity` and lower packages.
"""
