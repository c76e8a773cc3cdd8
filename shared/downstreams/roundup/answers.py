"""What a tracker may answer, by route; what is of another form is refused as a whole, whatever else it says."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, TypeAdapter, ValidationError

from shared.domain.errors import AnswerMalformed
from shared.downstreams.bounds import MOST

Said = TypeVar("Said")


def _digits(value: object) -> object:
    return str(value) if type(value) is int else value


def _each_once(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if len({item["id"] for item in items}) < len(items):
        raise ValueError("an item comes twice")
    return items


def _with_id(item: dict[str, Any]) -> dict[str, Any]:
    return {**item, "id": _ID.validate_python(item.get("id"))}


Id = Annotated[str, BeforeValidator(_digits), StringConstraints(pattern=r"^[1-9][0-9]{0,17}$")]
_ID: TypeAdapter[str] = TypeAdapter(Id)
_Item = Annotated[dict[str, Any], AfterValidator(_with_id)]
_Items = Annotated[list[_Item], AfterValidator(_each_once)]
_Class = Annotated[str, StringConstraints(pattern=r"^(user|issue|msg|file|query)$")]
_User = Annotated[dict[str, str | None], AfterValidator(_with_id)]

ITEMS: TypeAdapter[list[dict[str, Any]]] = TypeAdapter(_Items)
"""A search: every item once, with its id."""
PEOPLE: TypeAdapter[list[dict[str, str | None]]] = TypeAdapter(Annotated[list[_User], AfterValidator(_each_once)])
"""Users as they are searched for: texts."""
BELONGINGS: TypeAdapter[dict[str, list[tuple[str, str]]]] = TypeAdapter(dict[_Class, list[tuple[Id, Id]]])
"""Whose is what: pairs of record and person, by class."""
ROWS: TypeAdapter[dict[str, dict[str, int]]] = TypeAdapter(
    dict[_Class, dict[Id, Annotated[int, Field(strict=True, ge=0, le=MOST)]]]
)
"""Rows of history by class and id."""
Links = list[tuple[str, str, Id, str | None]]
"""Each with a sign (what was added or taken away), a class, an id, and a name where that class has names."""
Change = tuple[str, str, bool, str, dict[str, Links | str | bool | int | float | None]]
"""A row of the history: when, by which user, whether that is staff, what was done, and what each field said before."""
CHANGES: TypeAdapter[dict[str, dict[str, list[Change]]]] = TypeAdapter(dict[_Class, dict[Id, list[Change]]])
"""Rows of the history by class and id, oldest first."""
VALUES: TypeAdapter[dict[str, dict[str, dict[str, Any]]]] = TypeAdapter(dict[_Class, dict[Id, dict[str, Any]]])
"""What records say, by class and id."""
LEFT: TypeAdapter[list[tuple[int, str]]] = TypeAdapter(
    list[
        tuple[
            Annotated[int, Field(strict=True, ge=0)],
            Annotated[str, StringConstraints(pattern=r"^(passed on|refused)$")],
        ]
    ]
)
"""What was left as it was, by its position in the call."""
IDS: TypeAdapter[list[str]] = TypeAdapter(list[Id])
"""Ids of one class."""
COUNT: TypeAdapter[int] = TypeAdapter(Annotated[int, Field(strict=True, ge=0, le=MOST)])
"""How many there are."""
FIELDS: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])


def member(said: Any, name: str, form: TypeAdapter[Said], system: str) -> Said:
    """What an answer says under that name.

    Raises:
        AnswerMalformed: it says nothing there, or nothing of that form.
    """
    try:
        return form.validate_python(said[name] if isinstance(said, Mapping) else None)
    except (KeyError, ValidationError):
        raise AnswerMalformed(f"{system} answers without {name}, or with {name} in another form") from None
