"""Hands out packages of copies: by links that count as downloads, checked before each, withheld if they fit no more.

`downloads` makes and serves links, `releases` checks a package, `unpacking` streams the report out of it.
May import `incidents` and lower packages.
"""
