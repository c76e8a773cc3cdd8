"""Of a line that several people use its subscriber sees what an itemised bill shows, and the release check knows it."""

from datetime import UTC, datetime, timedelta

import pytest

from shared.domain.identities import Identity, IdentityType
from shared.domain.release import ITEMISED, Fault, Known, Match, Span, first_fault
from shared.downstreams.sql.declaration.bill import ShortenedNumbers

PHONE = IdentityType.PHONE
LINE, USER, OTHER = "+442079460000", "sip:desk@pbx.example", "+442079460001"


def day(number: int) -> datetime:
    return datetime(2025, 1, 1, tzinfo=UTC) + timedelta(days=number)


@pytest.mark.parametrize(
    ("line", "dialled", "shown"),
    [
        ("+493023125077", "+34688886392", "+34688886xxx"),
        ("+33199004217", "0034688886392", "003468888xxxx"),
        ("+34688886392", "112", "xxx"),
        ("+34688886392", "1", "x"),
        ("+34688886392", "anna", "xxxx"),
        (USER, "+34688886392", "+34688886xxx"),
    ],
)
def test_a_bill_hides_the_last_digits_as_the_country_of_the_line_does(line: str, dialled: str, shown: str) -> None:
    kind = PHONE if line.startswith("+") else IdentityType.SIP_URI
    assert ShortenedNumbers.load().shortened(dialled, Identity(kind, line)) == shown


def known(
    lines: tuple[Span, ...] = ((day(10), day(20)),), others: tuple[Span, ...] = (), proved: int | None = None
) -> Known:
    held = dict.fromkeys((("phone", LINE), ("sip_uri", USER)), lines)
    return Known(
        at=day(15),
        values={("phone", LINE), ("sip_uri", USER), ("phone", OTHER)},
        lines=held,
        others={("phone", LINE): others},
        theirs={("phone", OTHER): ((day(0), day(99)),)},
        proved={} if proved is None else {("phone", LINE): day(proved)},
    )


@pytest.mark.parametrize(
    ("row", "whose", "fault"),
    [
        pytest.param([Match(ITEMISED, LINE, day(10))], known(), None, id="while they held it"),
        pytest.param([Match(ITEMISED, USER, day(19))], known(), None, id="a line of a domain"),
        pytest.param([Match(ITEMISED, LINE, day(20))], known(), Fault.NOT_AT_THAT_TIME, id="afterwards"),
        pytest.param([Match(ITEMISED, LINE)], known(), Fault.NOT_AT_THAT_TIME, id="of no time"),
        pytest.param([Match(ITEMISED, LINE, day(30))], known(proved=0), Fault.NOT_AT_THAT_TIME, id="proved, not held"),
        pytest.param([Match(ITEMISED, OTHER, day(15))], known(), Fault.NOT_AT_THAT_TIME, id="a line of theirs alone"),
        pytest.param([Match(ITEMISED, "+442079460009", day(15))], known(), Fault.NOT_THEIRS, id="another line"),
        pytest.param(
            [Match(ITEMISED, LINE, day(15))],
            known(others=((day(12), day(16)),)),
            Fault.ANOTHER_HOLDER,
            id="two",
        ),
        pytest.param([Match("phone", LINE, day(15))], known(proved=0), Fault.NOT_AT_THAT_TIME, id="the whole row"),
        pytest.param(
            [Match("phone", OTHER, day(15)), Match(ITEMISED, LINE, day(30))],
            known(),
            Fault.NOT_AT_THAT_TIME,
            id="beside what is theirs",
        ),
    ],
)
def test_a_call_on_a_bill_is_checked_by_whose_line_it_was_alone(
    row: list[Match], whose: Known, fault: Fault | None
) -> None:
    assert first_fault([[Match("phone", OTHER, day(15))], row], whose) is fault
