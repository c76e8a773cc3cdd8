"""Incidents (Art. 33, 34): facts in versions, the 72 hours, the decision of two people, notices and letters.

`incident` is pure: bodies, the record, who must be notified. `record` stores it, and writes to those concerned.
May import `mail` and lower packages.
"""
