"""The page of all codes: problems of the API, why a task failed, was not searched, or withholds a package."""

import importlib
import pkgutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import shared
from services.intake.api.problems import OTHERS, STATUS, title_of
from shared.domain.errors import DsrError, Refused
from shared.domain.operations import Unsearched
from shared.domain.release import ReleaseFault

_HEAD: Final = "Made by `make docs` from the code."
_PROBLEMS: Final = (
    "`type` of a problem (RFC 9457) is `urn:dsr:problem:` and the code. `detail` says what to do; `errors` names the"
    " fields. Each code of a failure is stable: programs compare codes, people read sentences."
)


def page() -> str:
    """The page, in Markdown."""
    for module in pkgutil.walk_packages(shared.__path__, "shared."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    problems = {kind.code: (str(status), title_of(kind)) for kind, status in STATUS.items()} | {
        code: (str(status), title) for code, (status, title) in OTHERS.items()
    }
    failures: dict[str, tuple[str]] = {}
    for kind in _below(Refused):
        failures.setdefault(kind.code, (title_of(kind),))
    parts = [
        _part("Problems of the API", _PROBLEMS, ("code", "status", "means"), problems),
        _part("Why a task failed", "`failure` of a task.", ("code", "means"), failures),
        _part(
            "Why a system was not searched",
            "`not_searched` of a task.",
            ("code", "means"),
            {each.value: (each.sentence,) for each in Unsearched},
        ),
        _part(
            "Why a package is withheld",
            "`package_fault` in the evidence.",
            ("code", "means"),
            {each.value: (each.sentence,) for each in ReleaseFault},
        ),
    ]
    return (
        "\n".join(
            ["# Codes of errors and failures", "", _HEAD, "", *(line for part in parts for line in part)]
        ).rstrip()
        + "\n"
    )


def _part(title: str, lead: str, columns: Sequence[str], rows: Mapping[str, Iterable[str]]) -> Iterator[str]:
    yield from (f"## {title}", "", lead, "", f"| {' | '.join(columns)} |", "|---" * len(columns) + "|")
    for code, cells in sorted(rows.items()):
        yield f"| `{code}` | {' | '.join(' '.join(each.split()) for each in cells)} |"
    yield ""


def _below(kind: type[DsrError]) -> Iterator[type[DsrError]]:
    for each in kind.__subclasses__():
        if each.__module__.startswith("shared."):
            yield each
            yield from _below(each)
