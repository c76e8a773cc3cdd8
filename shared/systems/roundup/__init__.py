"""The ticketing system Roundup 2.6 over REST and its privacy routes.

`tracker.py` makes calls and checks the form of answers.
`people.py` decides which users are the subject.
`system.py` shows users and what belongs to them as records, and implements `find`, `again`, `apply` and `past`.
`erasing.py` overwrites records, removes their history, and looks at both again.
`copies.py` shows a record and its history as the subject reads them.
`escalation.py` opens and comments on tickets of the privacy team.
`adapter.py` offers it all to the engine.
"""
