"""Keeps the table of requests: the one place that reads and writes requests.

Finds the other requests of a person, and a request by its reference or by what is stated.
May import `recipients` and lower packages.
"""
