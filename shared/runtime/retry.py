"""How long to wait before asking an unavailable system again."""

import random
from datetime import timedelta

from shared.runtime.settings import WorkSettings


def pause(attempt: int, settings: WorkSettings) -> timedelta:
    """Exponential backoff with full jitter for the attempt that just failed (first = 1), bounded above and below.

    There is no last attempt: a request that waits too long is brought before a person by its deadline.
    Source: "Exponential Backoff And Jitter", M. Brooker, 2015.
    """
    ceiling = min(settings.backoff_max_seconds, settings.backoff_seconds * 2 ** min(attempt - 1, 30))
    return timedelta(seconds=max(settings.backoff_seconds / 2, random.uniform(0, ceiling)))  # noqa: S311  # no secret
