"""Time limits (Art. 12(3)): one clock per request, timers that report each step once, and the SLA metrics.

``clock`` computes the dates and is pure. ``handlers`` moves clocks as events say. ``timers`` polls what is due.
``retention`` schedules deferred erasures. ``notifications`` opens tickets and flags. ``statistics`` sets the metrics.
``assignments`` reads the number register from its source. The law's arithmetic is ``shared.domain.time_limit``.
May import ``shared``, and no other service.
"""
