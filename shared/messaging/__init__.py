"""Consumes and publishes events so that each has its effect once.

`consumer` fetches, `dispatcher` calls handlers in one `unit_of_work`, and `outbox` publishes after the commit.
A record that breaks its handler becomes a dead letter.
May import `runtime`, `storage` and `domain`. It knows no system.
"""
