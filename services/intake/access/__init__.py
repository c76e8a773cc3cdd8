"""Knows callers: API keys and their grants, quotas, and keys that are suspended for too many erasures.

`auth` finds the caller of a key, `grant` says what it may state and do, `quota` how much.
May import `core` and `request`.
"""
