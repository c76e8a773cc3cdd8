"""The page: HTML that is read in any browser and printed, without script and without anything from elsewhere; pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Final

import orjson
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from pydantic import JsonValue

from services.export.files import File
from services.export.report.checklist import checklist
from services.export.report.held import Request, Step
from services.export.report.texts import Texts, texts_of
from services.export.report.translated import Translated
from services.export.report.wording import Wording
from services.export.survey import Category
from shared.domain.release import REPORT
from shared.domain.wording import ENGLISH, LANGUAGES

_FOLDER: Final = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table of data; ``meaning``: None where neither dataset nor catalogue explains it."""

    name: str
    meaning: str | None


@dataclass(frozen=True, slots=True)
class Shown:
    """A category as the page shows it: whether the policy knows it, its columns, and its first rows."""

    name: str
    words: str
    declared: bool
    held: Category
    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]


def render(known: Mapping[str, Category], request: Request, files: Sequence[File], at: datetime) -> bytes:
    """The page about what is held; ``files``: those of the copy, of which it tells length and hash."""
    texts = texts_of(request.language)
    language = next((each for each in LANGUAGES if each == request.language), ENGLISH)
    say, told = Wording(language), Translated(request.policy, texts, language)
    shown = [_shown(name, held, request, texts, told) for name, held in sorted(known.items())]
    page = _template().render(
        language=language,
        texts=texts,
        page=texts.page,
        say=say,
        told=told,
        at=at,
        request=request,
        items=list(checklist(known, request, files, texts, say, told)),
        shown=shown,
        steps=[(each, _told(each, texts, told)) for each in request.steps if each.action in texts.events],
    )
    return page.encode()


def _shown(name: str, held: Category, request: Request, texts: Texts, told: Translated) -> Shown:
    columns = [
        Column(each, request.meaning(held.systems, name, each) or texts.fields.get(each)) for each in held.fields
    ]
    rows = [[_written(one.data.get(column.name), texts) for column in columns] for one in held.first]
    return Shown(name, told.category(name), request.policy.category(name) is not None, held, columns, rows)


def _written(value: JsonValue, texts: Texts) -> str:
    match value:
        case None:
            return ""
        case bool():
            return texts.page["yes" if value else "no"]
        case str():
            return value
        case _:
            return orjson.dumps(value).decode()


def _told(step: Step, texts: Texts, told: Translated) -> str:
    """What of a step is shown: what the catalogue names, its codes in words."""
    shown = {name: step.detail[name] for name in texts.details if step.detail.get(name) is not None}
    return ", ".join(f"{texts.details[name]}: {told.detail(name, value)}" for name, value in shown.items())


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(REPORT)
