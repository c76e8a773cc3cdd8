"""Holds what every package of intake uses: errors, schemas of bodies, stated times and retention, metrics.

No database, no route, no rule of a single right.
May import nothing else of intake.
"""
