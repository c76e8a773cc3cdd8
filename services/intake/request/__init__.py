"""The request as an aggregate: its lifecycle, what moves it, what blocks it, and what its letters say; pure.

``lifecycle`` is the table of states and moves; a method of ``aggregate`` makes each move and returns a ``Transition``.
``stored_request`` has the fields and what follows from them; ``blockers`` says what a request waits for.
``reports`` and ``deferrals`` judge the reports of tasks; ``closing`` and ``messages`` compose the answer.
``delivery_effects`` holds back what takes effect only once a letter was delivered.
No clock, no database, no routes. May import `core`.
"""
