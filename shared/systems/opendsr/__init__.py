"""Processors that speak OpenDSR 2.0 over HTTPS.

`processor.py` submits signed requests, reads their status, and fetches their results.
`adapter.py` erases between two access requests, or gives a copy of what one finds.
`settings.py` maps types of identities to those of OpenDSR.
"""
