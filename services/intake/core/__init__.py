"""Holds what every package of intake uses: errors, bodies of the API, JSON, moments, retention, metrics.

No database, no route, no rule of a single right.
May import nothing of intake.
"""
