"""Runs loops by the clock: expiry, requests that may go on, and dates that move.

May import `queries` and lower packages.
"""
