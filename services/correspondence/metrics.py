"""Counts what correspondence alone knows; definitions: ``docs/metrics.md``."""

from prometheus_client import Gauge

MAILBOX_READ_AT = Gauge("dsr_mailbox_read_timestamp_seconds", "When the mailbox was last read to its end")
