"""Follows letters on their way: sent, posted, returned, given up, and handled by the privacy team.

`outcomes` applies what correspondence reports of a letter; `manual` is what staff do with one.
May import `store` and lower packages.
"""
