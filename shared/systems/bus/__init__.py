"""Teams that work their own store and take tasks from Kafka.

`messages.py` defines tasks and replies; neither holds personal data.
`identity_token.py` makes the token by which a team fetches the identities of one task.
`upload.py` checks the rows that a team uploads for a copy.
`adapter.py` sends a task, judges the reply, and has the team look again before it concludes.
"""
