"""Proves who a requester is: levels, links and codes, and proofs that wait for a person.

May import `delivery` and lower packages.
"""
