"""Follows letters on their way: sent, posted, returned, given up, and handled by the privacy team.

May import `store` and lower packages.
"""
