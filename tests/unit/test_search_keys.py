"""Whether a row's time lies in the period of a number, by the clock of the store."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from shared.domain.identities import IdentityType
from shared.downstreams.sql.finding.search_keys import Coverage, SearchKey, wall_clock


@pytest.mark.parametrize(
    ("moment", "until", "since"),
    [
        # 25 October 2026: at 03:00 summer time clocks go back to 02:00, and calls of that hour cannot be told apart.
        ("2026-10-24T23:59:00", "2026-10-25T01:59:00", "2026-10-25T01:59:00"),
        ("2026-10-25T00:30:00", "2026-10-25T02:00:00", "2026-10-25T03:00:00"),
        ("2026-10-25T01:30:00", "2026-10-25T02:00:00", "2026-10-25T03:00:00"),
        ("2026-10-25T02:00:00", "2026-10-25T03:00:00", "2026-10-25T03:00:00"),
        ("2026-03-29T01:00:00", "2026-03-29T03:00:00", "2026-03-29T03:00:00"),
        ("2026-07-01T10:00:00", "2026-07-01T12:00:00", "2026-07-01T12:00:00"),
    ],
)
def test_in_the_hour_that_autumn_repeats_a_call_that_may_be_anothers_is_nobodys(
    moment: str, until: str, since: str
) -> None:
    utc, zone = datetime.fromisoformat(moment).replace(tzinfo=UTC), ZoneInfo("Europe/Madrid")
    assert wall_clock(utc, zone, earliest=True).isoformat() == until
    assert wall_clock(utc, zone, earliest=False).isoformat() == since


def test_a_period_is_half_open_and_tells_all_none_and_some_apart() -> None:
    january, march, may = (datetime(2026, month, 1, tzinfo=UTC) for month in (1, 3, 5))
    key = SearchKey(IdentityType.PHONE, "+34688886392", january, march)
    assert key.covers(january, january) is Coverage.INSIDE
    assert key.covers(march, march) is Coverage.OUTSIDE
    assert key.covers(march, may) is Coverage.OUTSIDE
    assert key.covers(january, march) is Coverage.STRADDLES
    assert key.covers(None, None) is Coverage.OUTSIDE
    assert SearchKey(IdentityType.EMAIL, "a@example.org").covers(None, None) is Coverage.INSIDE
