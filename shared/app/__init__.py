"""The composition root of a service: loops, HTTP server, probes."""
