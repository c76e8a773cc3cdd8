"""Hands out packages: links that are good for a day, the check before each release, and single files in them.

May import `incidents` and lower packages.
"""
