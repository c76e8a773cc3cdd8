"""The command `dsr`: `main` knows all commands; the rest speaks HTTP with a key, as every client of the API does.

`acting` lists, shows and decides by the API's registry of actions; `requests` submits and follows requests.
May import `shared` and, for examples, `services/intake/api/examples.py`; never a database.
"""
