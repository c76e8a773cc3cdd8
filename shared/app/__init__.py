"""Puts a service together: connections, loops, workers, probes and the HTTP server.

`service` is the composition root; a service's `main` names its handlers and its application.
May import every package of `shared`.
"""
