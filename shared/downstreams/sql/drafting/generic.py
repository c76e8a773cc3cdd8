"""Keys without a constraint that say themselves in which table they point: a type and an id (Django, Rails)."""

from collections.abc import Iterator

from shared.downstreams.sql.drafting.guesses import is_text
from shared.downstreams.sql.drafting.shapes import TableShape

_CONTENT_TYPES = "django_content_type"


def generic_keys(table: TableShape) -> Iterator[str]:
    """A sentence for each: its columns, and the join that it needs."""
    columns = {column.name: column for column in table.columns}
    for key in table.keys:
        if key.parent[1] == _CONTENT_TYPES:
            own = key.columns[0].removesuffix("_type_id").removesuffix("_type") + "_id"
            for id_ in (
                "object_id",
                "object_pk",
                own,
            ):
                if id_ in columns and id_ not in key.columns:
                    yield _sentence(key.columns[0], id_, _on(key.columns[0], id_))
                    break
    for name, column in columns.items():
        id_ = name.removesuffix("type") + "id"
        if name.endswith("_type") and is_text(column.type) and id_ in columns:
            yield _sentence(name, id_, _on(name, id_))


def _on(type_: str, id_: str) -> str:
    return f'{id_} = "id", {type_} = {{ is = "WORD" }}'


def _sentence(type_: str, id_: str, on: str) -> str:
    return (
        f"{type_} and {id_} point to rows of whichever table the row says (a generic key): of each that leads to a"
        f' person write a path in via: [{{ table = "TABLE", on = {{ {on} }} }}]'
    )
