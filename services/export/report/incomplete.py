"""What nobody has written down yet of what a report is about: with that it is answered in part (A15.X1); pure."""

from collections.abc import Iterator, Mapping

from services.export.report.held import Request
from services.export.report.texts import Texts
from services.export.survey import Category


def incomplete(known: Mapping[str, Category], request: Request, texts: Texts) -> Mapping[str, list[str]]:
    """By what is missing of whom: the columns that nobody explains, the categories of which the policy says nothing."""
    columns = [f"{category}.{name}" for category, name, meaning in meanings(known, request, texts) if meaning is None]
    strange = [name for name in sorted(known) if request.policy.category(name) is None]
    return {key: names for key, names in (("unexplained", columns), ("undeclared", strange)) if names}


def meanings(known: Mapping[str, Category], request: Request, texts: Texts) -> Iterator[tuple[str, str, str | None]]:
    """Each category and column that is shown, with what it means; None: nobody says it."""
    for category, found in sorted(known.items()):
        for name in found.fields:
            yield category, name, texts.meaning(request.meaning(found.systems, category, name), name)
