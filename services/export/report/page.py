"""The page: HTML that is read in any browser and printed, without script and without anything from elsewhere; pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from services.export.files import File
from services.export.report.checklist import checklist
from services.export.report.held import Request, Step
from services.export.report.texts import Texts, texts_of
from services.export.report.translated import Translated
from services.export.report.wording import Wording, spoken
from services.export.survey import Category
from shared.domain.cells import Cells
from shared.domain.release import REPORT

_FOLDER: Final = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table of data; ``meaning``: None where neither dataset nor catalogue explains it."""

    name: str
    meaning: str | None


@dataclass(frozen=True, slots=True)
class Shown:
    """A category as the page shows it: whether the policy knows it, where it is held, its columns, its first rows."""

    name: str
    words: str
    declared: bool
    systems: str
    held: Category
    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]


def render(known: Mapping[str, Category], request: Request, files: Sequence[File], at: datetime) -> bytes:
    """The page about what is held; ``files``: those of the copy, of which it tells length and hash."""
    texts = texts_of(request.language)
    language = spoken(request.language)
    say, told = Wording(language, request.zone), Translated(request.policy, texts, language)
    cells = Cells(texts, language, request.zone)
    shown = [_shown(name, held, request, texts, told, cells) for name, held in sorted(known.items())]
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


def _shown(name: str, held: Category, request: Request, texts: Texts, told: Translated, cells: Cells) -> Shown:
    columns = [Column(each, texts.meaning(request.meaning(held.systems, name, each), each)) for each in held.fields]
    rows = [[cells.shown(column.name, one.data.get(column.name)) for column in columns] for one in held.first]
    systems = ", ".join(map(told.system, held.systems))
    return Shown(name, told.category(name), request.policy.category(name) is not None, systems, held, columns, rows)


def _told(step: Step, texts: Texts, told: Translated) -> str:
    """What of a step is shown: what the catalogue names, its codes in words."""
    shown = {name: step.detail[name] for name in texts.details if step.detail.get(name) is not None}
    return ", ".join(
        texts.page["pair"].format(what=texts.details[name], value=told.detail(name, value))
        for name, value in shown.items()
    )


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
