"""What stands beside the data of a package in plain text, in the language of the person: which file is what; pure."""

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Final

from services.export.attached import DATA, DESCRIPTION, FOLDER, SCHEMA, STEPS
from services.export.report.held import Request
from services.export.report.texts import texts_of
from services.export.report.translated import Translated
from services.export.report.wording import Wording, spoken
from services.export.survey import Category
from shared.domain.release import REPORT
from shared.domain.rights import Right

_FIRST: Final = {REPORT: "report", STEPS: "steps"}
README: Final = "README.txt"
_LAST: Final = {SCHEMA: "schema", DATA: "data", DESCRIPTION: "description", README: "readme"}


def explained(known: Mapping[str, Category], request: Request, files: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yields what is in each of these files; files of a folder have one line."""
    texts, language = texts_of(request.language), spoken(request.language)
    told, say = Translated(request.policy, texts, language), Wording(language, request.zone)
    yield from ((name, texts.readme[words]) for name, words in _FIRST.items() if name in files)
    for name, category in sorted(known.items()):
        held = {"kind": told.kind(name), "systems": ", ".join(map(told.filed, category.systems))}
        yield f"{name}.csv", texts.readme["kind"].format(rows=say.number(category.rows), **held)
    if any(name.startswith(FOLDER) for name in files):
        yield FOLDER, texts.readme["attached"]
    yield from ((name, texts.readme[words]) for name, words in _LAST.items() if name in files)


def readme(known: Mapping[str, Category], right: Right, at: datetime, request: Request, files: Collection[str]) -> str:
    """``files``: the names of those of the package."""
    return "\n".join([*_lines(known, right, at, request, files), ""])


def _lines(
    known: Mapping[str, Category], right: Right, at: datetime, request: Request, files: Collection[str]
) -> Iterator[str]:
    texts, language = texts_of(request.language), spoken(request.language)
    says, told, say = texts.readme, Translated(request.policy, texts, language), Wording(language, request.zone)
    yield from (says[right].format(moment=say.moment(at)), "")
    if missing := ", ".join(map(told.filed, sorted(request.missing()))):
        yield from (says["incomplete"].format(systems=missing), "")
    for name, words in explained(known, request, {*files, DESCRIPTION}):
        yield texts.page["pair"].format(what=name, value=words)
    yield from ("", says["mark"])
    if right is Right.PORTABILITY:
        yield from ("", says["transmission"])
