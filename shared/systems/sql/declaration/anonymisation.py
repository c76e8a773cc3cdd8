"""What a dataset says of a table whose rows are kept without anybody in them, once a ceiling has come."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Literal, Self

from pydantic import Field, model_validator

from shared.systems.sql.declaration.columns import Column
from shared.systems.sql.declaration.declared import Declared, Name

Unit = Literal["day", "month", "year"]


class Anonymisation(Declared):
    """What becomes of every column, so that nobody can be found in a row again (Recital 26).

    ``blank``: emptied: what singles a person out, or leads to them. ``redraw``: a key that others may have noted, drawn
    anew. ``coarsen``: a day or an instant, cut to the unit. ``rare``: kept only in combinations that at least
    ``people`` persons have in common, told apart by the column ``person``; else emptied. ``same``: left as it is.
    """

    blank: tuple[Name, ...] = Field(min_length=1)
    redraw: tuple[Name, ...] = ()
    coarsen: Mapping[Name, Unit] = Field(default_factory=dict)
    rare: tuple[Name, ...] = ()
    same: tuple[Name, ...] = ()
    person: Name | None = None
    people: int = Field(default=10, ge=2, le=10_000)

    @model_validator(mode="after")
    def _tells_people_apart(self) -> Self:
        if bool(self.rare) is not (self.person is not None):
            raise ValueError("rare needs person, the column by which people are told apart, and only rare does")
        return self

    def mistakes(self, columns: Mapping[str, Column]) -> Iterator[str]:
        """Where a column is forgotten or named twice, or one that leads to somebody would be kept."""
        named = Counter((*self.blank, *self.redraw, *self.coarsen, *self.rare, *self.same))
        written = {name for name, column in columns.items() if not column.generated}
        for name in sorted(named):
            if name not in columns:
                yield f"anonymise names column {name}, which is not declared"
            elif name not in written:
                yield f"anonymise names {name}, which follows from another column: name that one"
            elif named[name] > 1:
                yield f"anonymise names column {name} twice: one thing becomes of it"
        for name in sorted(written - named.keys()):
            yield (
                f"anonymise does not say what becomes of column {name}: name it in blank, redraw, coarsen, rare or same"
            )
        for name in sorted({*self.coarsen, *self.rare, *self.same} & written):
            if columns[name].identity or columns[name].personal in {"A", "B", "C"}:
                yield f"anonymise keeps {name}, which tells who it is about: name it in blank"
        if self.person and self.person not in self.blank:
            yield f"anonymise tells people apart by {self.person}, which must go: name it in blank"
