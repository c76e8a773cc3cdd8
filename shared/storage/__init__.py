"""Stores what several services share: the vault, evidence, legal holds, suppression, systems and number assignments.

`postgres` connects, `migrate` applies the schema, and `keyring` holds the keys.
Rows of one service alone belong to that service.
May import `domain`.
"""
