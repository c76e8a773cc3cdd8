"""A change is checked once, where it comes in: no system meets one that says nothing."""

import pytest
from pydantic import ValidationError

from shared.domain.operations import Change


@pytest.mark.parametrize(
    "said",
    [{"asserted": "  "}, {"asserted": 1}, {}, {"asserted": "x", "field": "First Name"}, {"asserted": "x" * 2001}],
)
def test_a_change_names_a_field_and_says_what_is_right(said: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Change.model_validate({"field": "name", **said})


def test_blanks_around_a_value_are_nothing_that_anybody_meant() -> None:
    assert Change.model_validate({"field": "name", "current": " Ada ", "asserted": " Eda "}) == Change(
        field="name", current="Ada", asserted="Eda"
    )
