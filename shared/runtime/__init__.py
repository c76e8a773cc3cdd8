"""Runs one process: settings, loops with heartbeats, metrics and traces.

May import `storage` and `domain`. It knows neither broker nor HTTP.
"""
