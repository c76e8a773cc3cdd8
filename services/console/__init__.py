"""The console of the privacy team: worklist, requests, decisions, lists and reports."""
