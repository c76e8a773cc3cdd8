"""A package looked at again, from its files alone: is every item of Art. 15 answered, has every row its place; pure."""

import hashlib
import io
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from services.export import tables
from services.export.attached import FOLDER, NAMED
from services.export.files import DATA, DESCRIPTION, SCHEMA
from services.export.pieces import Piece
from services.export.report.held import LISTS
from services.export.report_reader import Answer, Report, read
from shared.domain.errors import Misconfigured
from shared.domain.release import REPORT, withholds
from shared.domain.rights import Right

ITEMS: Final = (
    *("A15.0", "A15.a", "A15.b", "A15.c", "A15.d", "A15.e", "A15.f", "A15.g", "A15.h"),
    *("A15.2", "A15.3", "A15.4", "A15.X1", "A15.X2"),
)
"""The checklist of an access, version art15-1."""
REQUIRED: Final = frozenset(ITEMS) - {"A15.g", "A15.h", "A15.2", "A15.X2"}
"""What cannot be inapplicable."""
PER_CATEGORY: Final = ("A15.a", "A15.b", "A15.d")
"""What is told of each category by itself."""
_IN_PART: Final = "in_part"
_THEIRS: Final = "not applicable: a customer decides about these data, and answers the person"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the rows of a category are: how many, in which table of the report, and in which file."""

    category: str
    rows: int
    table: str
    file: str


@dataclass(slots=True)
class Checked:
    """What was found: by item how it stands, the place of every row, and whatever is wrong."""

    right: Right
    items: dict[str, str] = field(default_factory=dict)
    places: list[Place] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def check(content: bytes) -> Checked:
    """Looks at a package.

    Raises:
        Misconfigured: it is no package of ours.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
        told = orjson.loads(files[DESCRIPTION])
        right = Right(told["right"])
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise Misconfigured(
            f"this is no package ({type(error).__name__}): name a ZIP that was fetched from us"
        ) from error
    checked = Checked(right)
    checked.faults += _of_files(files, told)
    rows = [orjson.loads(line) for line in files.get(DATA, b"").splitlines()]
    named = {name for row in rows if isinstance(name := row["data"].get(NAMED), str) and name.startswith(FOLDER)}
    checked.faults += [f"{DATA} names {name}, which is missing" for name in sorted(named - files.keys())]
    report = read(files[REPORT].decode()) if REPORT in files else None
    _place(checked, files, rows, report)
    if right is Right.ACCESS and told.get("instructed"):
        checked.items = dict.fromkeys(ITEMS, _THEIRS)
    elif right is Right.ACCESS:
        _answers(checked, report or Report(), rows, told)
    else:
        checked.faults += _of_schema(files, rows)
    return checked


def _of_files(files: Mapping[str, bytes], told: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Every file is the one that the package says it is, and none is more than it says."""
    for name, said in told["files"].items():
        if name not in files:
            yield f"{name} is missing"
        elif (len(files[name]), hashlib.sha256(files[name]).hexdigest()) != (said["bytes"], said["sha256"]):
            yield f"{name} is not the file that {DESCRIPTION} tells of"
    yield from (f"{DESCRIPTION} does not tell of {name}" for name in files if name not in {*told["files"], DESCRIPTION})


def _place(
    checked: Checked, files: Mapping[str, bytes], rows: Sequence[Mapping[str, Any]], report: Report | None
) -> None:
    """Finds for every row its table of the report and its line in the file of its category, cell by cell."""
    for category in sorted({row["category"] for row in rows}):
        theirs = [Piece(**row) for row in rows if row["category"] == category]
        file, table, columns = f"{category}.csv", f"data-{category}" if report else "", list(_columns(theirs))
        checked.places.append(Place(category, len(theirs), table, file))
        if files.get(file) != tables.heading(columns) + tables.rows(theirs, columns):
            checked.faults.append(f"{file} has not the {len(theirs)} rows that {DATA} has of {category}")
        if report and report.rows.get(category) != len(theirs):
            told = report.rows.get(category)
            checked.faults.append(f"{REPORT} says {told} rows of {category}, and {DATA} has {len(theirs)}")
    if not rows and not (report and LISTS in report.items.get("A15.b", Answer("")).about):
        checked.faults.append(f"{DATA} has no rows, and {REPORT} tells of nothing that we hold ourselves")


def _columns(pieces: Sequence[Piece]) -> Iterable[str]:
    return dict.fromkeys(name for piece in pieces for name in piece.data)


def _answers(checked: Checked, report: Report, rows: Sequence[Mapping[str, Any]], told: Mapping[str, object]) -> None:
    """Says how every item stands; one of which anything is wrong stands as nothing else."""
    for name in ITEMS:
        item = report.items.get(name)
        checked.items[name] = (
            "answered" if item is None or item.answered else f"not applicable: {' '.join(item.says[:1])}"
        )
    faults = [*_of_items(report, {str(row["category"]) for row in rows}), *_of_rows(report, rows)]
    if (missing := report.items.get("A15.X2")) and missing.answered is not bool(told.get("missing")):
        faults.append(("A15.X2", f" and {DESCRIPTION} do not agree whether anything is missing"))
    for name, why in faults:
        checked.items[name] = "wrong"
        checked.faults.append(f"{name}{why}")


def _of_items(report: Report, categories: AbstractSet[str]) -> Iterator[tuple[str, str]]:
    """Every item is there, says something, and says it of every category where it is about each."""
    for name in ITEMS:
        item = report.items.get(name)
        if item is None or not item.says:
            yield name, " is not answered"
            continue
        if not item.answered and name in REQUIRED:
            yield name, " must be answered, whatever is held"
        if name in PER_CATEGORY and (silent := sorted(categories - item.about)):
            yield name, f" says nothing of {', '.join(silent)}"
        if item.status == _IN_PART and name != "A15.X1":
            yield name, f" is answered in part: no category of the policy has {', '.join(report.undeclared)} (held_as)"


def _of_rows(report: Report, rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """What is hidden in rows is said, and every field has its meaning."""
    hidden = Counter(str(row["category"]) for row in rows if withholds(row["data"]))
    for category in sorted({str(row["category"]) for row in rows}):
        if report.withheld.get(category, 0) != hidden[category]:
            yield "A15.4", f": of {category} {hidden[category]} rows hide something, which is not said"
    for category, fields in report.unexplained.items():
        yield "A15.X1", f": nobody explains {', '.join(fields)} of {category}"


def _of_schema(files: Mapping[str, bytes], rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Every field of every row is one of the schema."""
    if SCHEMA not in files:
        yield f"{SCHEMA} is missing"
        return
    known = {
        each["properties"]["category"]["const"]: set(each["properties"]["data"]["properties"])
        for each in orjson.loads(files[SCHEMA])["oneOf"]
    }
    strange = {
        (row["category"], name) for row in rows for name in row["data"] if name not in known.get(row["category"], ())
    }
    yield from (f"{SCHEMA} does not know {name} of {category}" for category, name in sorted(strange))
