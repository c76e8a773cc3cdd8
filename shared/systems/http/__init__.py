"""Any system with an HTTP interface, connected by a declaration in TOML without code.

`declaration.py` reads and checks the declaration: requests, resources, steps, jobs, rates.
`paths.py` reads paths in answers, tests conditions and fills templates.
`session.py` sends requests within the declared rates and follows pages.
`system.py` searches records, checks whose they are, and implements `find`, `again` and `apply`.
`steps.py` erases record by record, follows jobs, and looks at every record again.
`adapter.py` offers it all to the engine and states what the declaration makes possible.
"""
