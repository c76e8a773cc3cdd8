"""Knows callers: API keys, what each may state, and how much one caller may ask for.

Suspends a key that asks for too many erasures.
May import `core` and `request`.
"""
