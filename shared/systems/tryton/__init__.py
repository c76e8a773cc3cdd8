"""The CRM Tryton 8 over JSON-RPC.

`rpc.py` makes calls, checks the form of answers, and finds customers by their identities.
`customer.py` decides which customer is the subject, and what a correction writes; pure.
`system.py` shows parties and their rows as records, and implements `find`, `again`, `apply` and `past`.
`steps.py` erases customers: wizard, leftover contacts and numbers, and a second look.
`adapter.py` offers it to the engine, and adds locating, open requests and number assignments.
"""
