"""Where pages end is judged by the page as it came: nothing that a page does not say is taken for the end."""

from typing import Any

import pytest
from pydantic import ValidationError

from shared.domain.errors import AnswerMalformed
from shared.downstreams.http.pages import first_page, next_page
from shared.downstreams.http.paths import Answer, Condition, each_at
from shared.downstreams.http.requests import Pages

COUNTED = {"kind": "page", "size": 2, "parameter": "page"}
LINKED = {"kind": "header", "size": 2}
NEXT = '<https://a.example/x?page=1>; rel="prev", <https://a.example/x?page=3&a=b,c>; title="n"; rel="last next"'


@pytest.mark.parametrize(
    ("declared", "said", "records", "headers", "following"),
    [
        (COUNTED, {}, [1, 2], {}, {"page": 2}),
        (COUNTED, {}, [1], {}, {"page": 2}),  # the system may give less than it was asked for
        (COUNTED, {}, [], {}, None),
        ({**COUNTED, "end": "short"}, {}, [1], {}, None),
        ({**COUNTED, "end": "short"}, {}, [1, 2], {}, {"page": 2}),
        ({**COUNTED, "more": "more"}, {"more": False}, [1, 2], {}, None),
        ({**COUNTED, "more": "more"}, {"more": True}, [1], {}, {"page": 2}),
        ({**COUNTED, "kind": "offset"}, {}, [1], {}, {"page": 1}),
        ({**COUNTED, "kind": "last_id"}, {}, [7, 9], {}, {"page": 9}),
        (LINKED, {}, [1, 2], {"link": NEXT}, "https://a.example/x?page=3&a=b,c"),
        (LINKED, {}, [], {"link": NEXT}, "https://a.example/x?page=3&a=b,c"),  # an empty page is not the last
        (LINKED, {}, [1, 2], {"link": '<https://a.example/x?page=1>; rel="prev"'}, None),
        (LINKED, {}, [1, 2], {"link": "nonsense; rel=next"}, None),
        (LINKED, {}, [1, 2], {}, None),
    ],
)
def test_the_next_page_is_asked_for_as_the_page_says(
    declared: dict[str, Any], said: object, records: list[int], headers: dict[str, str], following: object
) -> None:
    pages = Pages.model_validate(declared)
    found = next_page("saas", pages, Answer(status=200, said=said, headers=headers), records, first_page(pages))
    assert (found and (found[1] or found[0])) == following


def test_a_page_that_is_longer_than_pages_are_is_an_error() -> None:
    pages = Pages.model_validate(COUNTED)
    with pytest.raises(AnswerMalformed, match="size = 2"):
        next_page("saas", pages, Answer(status=200), [1, 2, 3], first_page(pages))


@pytest.mark.parametrize("more", [{"kind": "link", "next": "next"}, {"more": "more"}])
def test_how_pages_end_is_said_once(more: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="leave it out"):
        Pages.model_validate({**COUNTED, "end": "short", **more})


@pytest.mark.parametrize(
    ("condition", "record", "holds"),
    [
        ({"path": "a", "equals": 1}, {"a": True}, False),
        ({"path": "a", "equals": False}, {"a": 0}, False),
        ({"path": "a", "in": [1, 2]}, {"a": True}, False),
        ({"path": "a", "in": [1, 2]}, {"a": [1]}, False),
        ({"path": "a", "equals": "007"}, {"a": 7}, False),
        ({"path": "a", "equals": None}, {}, False),
        ({"path": "a", "equals": None}, {"a": None}, True),
        ({"path": "a", "absent": True}, {"a": None}, True),
    ],
)
def test_a_condition_takes_nothing_for_another_type(
    condition: dict[str, Any], record: dict[str, Any], *, holds: bool
) -> None:
    assert Condition.model_validate(condition).holds_of(record) is holds


def test_a_star_is_any_part_of_a_list_and_of_nothing_else() -> None:
    assert each_at({"a": [{"id": 1}, {"id": 2}]}, "a.*.id") == [1, 2]
    assert each_at({"a": ["x"]}, "a.*") == ["x"]
    assert each_at({"a": {"0": {"id": 1}}}, "a.*.id") == []
    assert each_at({"a": 1}, "a") == [1]
