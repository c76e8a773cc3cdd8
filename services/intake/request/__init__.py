"""The request as an aggregate: its lifecycle, what moves it, what blocks it, and what its letters say.

Pure: no clock, no database, no routes.
May import `core`.
"""
