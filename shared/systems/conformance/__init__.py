"""Checks that a system does what it declares, on invented people.

`checks.py` has the table of checks, `CHECKS`, and what each does; the contract tests run the same.
`declared.py` reads how invented people come into a system and leave it.
`live.py` runs every check on the running systems, for `dsr conformance`.
"""
