"""Renders the report as one HTML page without scripts or external resources; pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from pydantic import JsonValue

from services.export.archive import File
from services.export.pieces import Piece
from services.export.report.checklist import checklist
from services.export.report.request import ReportRequest, TimelineStep
from services.export.report.words import ReportWords
from services.export.survey import SurveyedCategory
from shared.domain.cells import Cells
from shared.domain.release import REPORT

_FOLDER: Final = Path(__file__).parent
_BLANK: Final[tuple[JsonValue, ...]] = (None, "", [])
_ACCOUNT: Final = "account"
"""The kind of data that each system holds once per person, in its own form."""


@dataclass(frozen=True, slots=True)
class ReportColumn:
    """A field and its heading; ``meaning``: None if neither dataset nor catalogue explains it."""

    name: str
    label: str
    meaning: str | None


@dataclass(frozen=True, slots=True)
class Shown:
    """A category as the page shows it: fields, table and systems; ``declared``: the policy describes it."""

    name: str
    declared: bool
    systems: str
    held: SurveyedCategory
    columns: Sequence[ReportColumn]
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    extent: str


def render(known: Mapping[str, SurveyedCategory], request: ReportRequest, files: Sequence[File], at: datetime) -> bytes:
    """Renders the page; its appendix lists size and hash of ``files``."""
    words = ReportWords(request.policy, request.language, request.zone)
    texts, cells = words.texts, Cells(words.texts, words.language, request.zone)
    shown = [_shown(name, held, request, words, cells) for name, held in sorted(known.items())]
    items = list(checklist(known, request, [each.name for each in files], words))
    page = _template().render(
        language=words.language,
        texts=texts,
        page=texts.page,
        say=words,
        words=words,
        at=at,
        request=request,
        items=items,
        stands=[(each.id, each.question, texts.page[each.status]) for each in items],
        files=[(each.name, words.number(each.size), each.sha256) for each in files],
        shown=shown,
        known_by=[
            (texts.types[each.type], each.value, texts.types.get(each.source) or words.system(each.source))
            for each in request.identities
        ],
        steps=[
            (words.moment(each.at), texts.events[each.action], _details(each, words))
            for each in request.steps
            if each.action in texts.events
        ],
    )
    return page.encode()


def _shown(name: str, held: SurveyedCategory, request: ReportRequest, words: ReportWords, cells: Cells) -> Shown:
    texts = words.texts
    said = {each: request.meaning(held.systems, name, each) for each in held.fields}
    columns = [ReportColumn(each, texts.label(says, each), texts.meaning(says, each)) for each, says in said.items()]
    systems, declared = words.systems(held.systems), request.policy.category(name) is not None
    if name == _ACCOUNT:
        headings = [texts.page[each] for each in ("entry", "value", "system")]
        rows = _entries(held.first, {each.name: each.label for each in columns}, words, cells)
    else:
        filled = [each for each in columns if any(one.data.get(each.name) not in _BLANK for one in held.first)]
        headings = [each.label for each in filled]
        rows = [[cells.shown(each.name, one.data.get(each.name)) for each in filled] for one in held.first]
    extent = texts.page["rows" if len(held.first) < held.rows else "all_shown"]
    extent = words.filled(extent, shown=len(held.first), rows=held.rows, file=f"{name}.csv")
    return Shown(name, declared, systems, held, columns, headings, rows, extent)


def _entries(
    records: Sequence[Piece], labels: Mapping[str, str], words: ReportWords, cells: Cells
) -> Sequence[Sequence[str]]:
    """Splits accounts into entries: a system may give its account in several records, and each has its own fields.

    A number tells two accounts of one system from each other.
    """
    accounts: dict[str, list[dict[str, str]]] = {}
    for one in records:
        entries = {field: shown for field, value in one.data.items() if (shown := cells.shown(field, value))}
        theirs = accounts.setdefault(one.system, [{}])
        if theirs[-1].keys() & entries.keys():
            theirs.append({})
        theirs[-1] |= entries
    held: dict[tuple[str, str], list[str]] = {}
    for system, theirs in accounts.items():
        for number, entries in enumerate(theirs, 1):
            called = words.system(system) + (f" ({number})" if len(theirs) > 1 else "")
            for field, entry in entries.items():
                held.setdefault((labels[field], entry), []).append(called)
    return [[*entry, ", ".join(systems)] for entry, systems in held.items()]


def _details(step: TimelineStep, words: ReportWords) -> str:
    """Returns the details of a step that the catalogue names, codes in words."""
    texts = words.texts
    shown = {name: step.detail[name] for name in texts.details if step.detail.get(name) is not None}
    return ", ".join(
        texts.page["pair"].format(
            what=texts.details[name], value=words.detail(name, value, step.detail.get("decision", "extension"))
        )
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
