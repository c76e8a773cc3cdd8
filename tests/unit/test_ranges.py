"""Which bytes a header asks for (RFC 9110, 14)."""

import pytest

from services.intake.ranges import Span, asked

TAG = '"a"'


@pytest.mark.parametrize(
    ("header", "span", "of_ten"),
    [
        ("bytes=0-", Span(0, None), (0, 10)),
        ("bytes=3-5", Span(3, 5), (3, 6)),
        ("bytes=3-99", Span(3, 99), (3, 10)),
        ("bytes=-4", Span(None, 4), (6, 10)),
        ("bytes=-99", Span(None, 99), (0, 10)),
        ("bytes=10-", Span(10, None), None),
        ("bytes=-0", Span(None, 0), None),
    ],
)
def test_one_range_is_what_is_asked_for(header: str, span: Span, of_ten: tuple[int, int] | None) -> None:
    assert asked(header, None, TAG) == asked(header, TAG, TAG) == span
    assert span.of(10) == of_ten


@pytest.mark.parametrize(
    "header", [None, "", "bytes=", "bytes=5-3", "bytes=1-2,4-5", "lines=1-2", "bytes=a-", "bytes=--1"]
)
def test_anything_else_asks_for_all(header: str | None) -> None:
    assert asked(header, None, TAG) is None


def test_a_range_of_what_has_changed_since_asks_for_all() -> None:
    assert asked("bytes=3-", '"b"', TAG) is None


def test_only_what_begins_at_the_first_byte_begins() -> None:
    assert [Span(first, 5).continues for first in (0, 1, None)] == [False, True, True]
