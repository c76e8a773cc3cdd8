"""The sentence of a failure goes on the bus: what stands in it is ours, and nothing that a system answered."""

import ast
import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

import services
import shared
from shared.domain.errors import ColumnUnmapped, Refused
from shared.downstreams.http.declaration import Resource
from shared.downstreams.http.search import shown

OURS = {
    "names from the downstreams file, its settings and the datasets": (
        "self._system self.system self._name self._session.system self._store.system self._downstream.name"
        " ', '.join(bare) system session.system task.system tracker.system step.system name"
        " system.name self.system.name"
        " dataset.name table.name tables table self._domain self._settings.format self._sign_in self._names type_"
        " self.table.name due.table self.anchor.column self.due.anchor anchor.column due.anchor"
    ),
    "names from our code: operations, flags, models, methods, fields, headers, classes, kinds of record, versions": (
        "step.operation reply.operation erased.outcome API_VERSION DOMAIN_HEADER SIGNATURE_HEADER RESOLVED"
        " classname field flag kind task.operation method model to verb"
        " type(error).__name__ type(key).__name__ type(other).__name__"
    ),
    "counts and limits": (
        "count times erased.remaining looked.remaining kept left len(answers) len(each) len(hits) len(tasks) limit"
        " limits.answer_depth limits.answer_items lines answer.status response.status_code looked.found"
        " records rows remaining status"
        " still_found tied len(held) most"
    ),
    "what is wrong, in sentences of ours": (
        "' and '.join(faults) '; '.join(wrong) fault.sentence reason_of(text) opposed _use(system, task)"
        " ', and others '.join(why) not_signed(about, today) said"
    ),
    "which of our fields an answer lacks, or has in another form": "', '.join(fields)",
    "which of the types and formats that we know a processor takes": "', '.join(formats) ', '.join(sorted(missing))",
    "a word that the downstreams file lists for the team, or of the policy": "reason each.state.reason word names",
    "the sentence of a failure, looked at again": "sentence_of(result)",
    "fields that the adapter knows, and what follows of the rest": (
        "change.field ', '.join(held) ', '.join(sorted(held)) rest"
    ),
    "categories of the policy that a system declares to hold": "goes concerns categories left stays",
    "names from the policy: rules, their anchors, and what a dataset calls a category": (
        "each.name rule.anchor table.table.category ', '.join(sorted(rules)) ', '.join(rules) ', '.join(sorted(about))"
        " ', '.join(unsigned) counts"
    ),
    "fields of rows that a team declares": "', '.join(held)",
    "a ground, which is a word without four digits in a row (bounds.py)": "word",
    "a name in the store's catalogue, a field's name, and a class of its errors": (
        "column held min(absent) other.sqlstate ', '.join(names)"
        " each.table.name schema dataset derived[0] key.name key.child key.parent child"
        " ', '.join(silent) held engine kind.lower() named done before"
        " ', '.join(sorted(tables)) ', '.join(sorted(found)) ', '.join(sorted(shown)) each.table"
    ),
    "what the declaration of an HTTP interface says of it": (
        "hit.resource find.id listing.method listing.path where key slot[1] job.within verify.within"
        " pages.max pages.next state.reason each.reason place pages.size refusal.reason"
        " request.method request.path request.permission"
        " ', '.join(left) ', '.join(unseen) ', '.join(sorted(held))"
    ),
}
"""What may be put into the sentence of a failure, by what it is."""


def test_a_failure_repeats_nothing_that_a_system_or_a_person_has_said() -> None:
    known = {ast.unparse(ast.parse(each)) for text in OURS.values() for each in _expressions(text)}
    said = set(_said())
    assert said - known == set(), "look at what that is; if it is ours, say in OURS what it is"


def test_a_field_without_a_name_could_be_somebody_and_is_not_repeated() -> None:
    with pytest.raises(ColumnUnmapped) as refused:
        shown(
            "shop", cast("Resource", SimpleNamespace(fields={})), {"Ada Lovelace": 1, "+4930123456": 2, "shoeSize": 41}
        )
    assert str(refused.value).endswith("does not classify: one whose name is none, shoeSize")


def _expressions(text: str) -> Iterator[str]:
    """The expressions of a text; a blank separates them where both sides are whole."""
    held = ""
    for part in text.split(" "):
        held = f"{held} {part}" if held else part
        try:
            ast.parse(held)
        except SyntaxError:
            continue
        yield held
        held = ""


def _said() -> Iterator[str]:
    """What is put into the text of any failure that waits for a person, in the function that makes it."""
    for package in (shared, services):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    names = {each.__name__ for each in _kinds(Refused)}
    for file in (file for root in ("shared", "services") for file in sorted(Path(root).rglob("*.py"))):
        for function in ast.walk(ast.parse(file.read_text())):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                for call in ast.walk(function):
                    if isinstance(call, ast.Call) and _name(call.func) in names:
                        yield from _parts(call.args, _assigned(function))


def _kinds(kind: type[Refused]) -> Iterator[type[Refused]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _kinds(each)


def _name(called: ast.expr) -> str:
    return called.id if isinstance(called, ast.Name) else called.attr if isinstance(called, ast.Attribute) else ""


def _assigned(function: ast.AST) -> dict[str, list[ast.expr]]:
    """What each local name stands for."""
    found: dict[str, list[ast.expr]] = {}
    for each in ast.walk(function):
        if isinstance(each, ast.Assign) and isinstance(each.targets[0], ast.Name):
            found.setdefault(each.targets[0].id, []).append(each.value)
    return found


def _parts(arguments: list[ast.expr], assigned: dict[str, list[ast.expr]]) -> Iterator[str]:
    """What is put into these texts, and into those that they are put together from."""
    todo, seen = [*arguments], set[str]()
    while todo:
        for each in ast.walk(todo.pop()):
            text = isinstance(each, ast.FormattedValue) and each.format_spec is None  # else it is a number
            inner = each.value if isinstance(each, ast.FormattedValue) else each
            values = assigned.get(inner.id, []) if isinstance(inner, ast.Name) else []
            composed = any(isinstance(part, ast.JoinedStr) for value in values for part in ast.walk(value))
            if isinstance(inner, ast.Name) and values and (composed or not text):
                todo += [] if inner.id in seen else values
                seen.add(inner.id)
            elif text:
                yield ast.unparse(inner)
