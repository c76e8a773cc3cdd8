"""Commands about the downstreams file."""

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from shared.domain.errors import Fault, Misconfigured, all_of
from shared.domain.operations import Operation
from shared.systems import check as checking
from shared.systems.check import SystemCheck
from shared.systems.downstream import Downstream
from shared.systems.file import read
from shared.systems.registry import Wiring
from shared.systems.relations import without_account_source
from shared.systems.sql.notes import schema_for
from shared.systems.sql.settings import SqlSettings

downstreams = typer.Typer(help="The file that declares the systems which hold personal data.")


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@downstreams.command()
def check(
    file: Path,
    *,
    system: Annotated[str | None, typer.Option(help="Check this one alone, and demand its variables.")] = None,
    file_only: Annotated[bool, typer.Option("--file-only", help="Look into no store and ask no system.")] = False,
    emitters: Annotated[
        Path | None, typer.Option(envvar="DSR_INTAKE_EMITTERS", help="The file of emitters that belongs to it.")
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json/--text",
            default_factory=lambda: not sys.stdout.isatty(),
            show_default="JSON in a pipe",
            help="Print JSON, or text for people.",
        ),
    ],
) -> None:
    """Says what each system of a downstreams file will be asked to do, and everything that is wrong with it.

    Each operation is tried on a person who does not exist; of a SQL store in a transaction that is rolled back. A
    system whose variables are not set is checked by the file alone. Status 1 if anything is wrong in the file, or in
    the files that it names. Also if a live system is unreachable, denies access, is not as declared or not prepared,
    and if a person must do a part of the policy.
    """
    wiring = Wiring.of_command()
    checked = asyncio.run(checking.check(file, wiring, system, live=not file_only))
    if system and not file_only:
        checked = [checking.with_unset_faults(each) for each in checked]
    emitter_problems = checking.emitter_faults(emitters, checked) if emitters and not system else ()
    found = report(checked, emitter_problems)
    typer.echo(orjson.dumps(found) if as_json else "\n".join(lines_of(found)))
    if emitter_problems or any(each.faults or each.manual_parts for each in checked):
        raise typer.Exit(1)


@downstreams.command()
def prepare(file: Path, *, as_json: AsJson = False) -> None:
    """Prints the statements that the owner of each SQL store runs once: the schema `dsr_platform` and its grants.

    The role is the one in the store's connection string. Nothing is run.
    """
    found = statements(file, os.environ)
    if as_json:
        typer.echo(orjson.dumps(found))
    else:
        typer.echo("\n".join(found.values()), nl=False)


def statements(path: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Returns the statements that prepare each declared SQL store, enabled or not.

    Raises:
        Misconfigured: the file is unusable, or a connection string is not set or names no user
    """
    stores = [each for each in read(path, environment) if isinstance(each.settings, SqlSettings)]
    printed = all_of(partial(_statements, path, each, environment) for each in stores)
    return dict(zip((each.name for each in stores), printed, strict=True))


def _statements(path: Path, store: Downstream, environment: Mapping[str, str]) -> str:
    name = getattr(store.settings, "dsn_env", "")
    if not environment.get(name):
        raise Misconfigured(f"{path}: [{store.name}]: dsn_env names {name}, which is not set; export {name}")
    try:
        header = f"-- {store.name}: to be run in the database that {name} names, by its owner\n"
        return header + schema_for(environment[name])
    except Misconfigured as error:
        raise Misconfigured(f"{path}: [{store.name}]: {name}: {error}") from None


def report(checked: Sequence[SystemCheck], emitters: Sequence[Fault] = ()) -> dict[str, Any]:
    """Returns the declarations, the faults, and the order in which an erasure works the systems without faults."""
    usable = checking.usable_systems(checked)
    systems: dict[str, Any] = {}
    without_source = without_account_source(usable.all)
    unconfirmed = {each.name: [*each.unconfirmed_accounts] for each in usable.all if each.unconfirmed_accounts}
    for each in checked:
        declared = each.declared
        described = systems[each.name] = {
            "adapter": getattr(declared.settings, "adapter", None) if declared else None,
            "enabled": declared is None or declared.enabled,
            "faults": _fault_texts(each.faults),
            "by_person": _fault_texts(each.manual_parts),
            "not_set": list(each.unset),
            "looked_at": each.live,
            **({"tried": [trial._asdict() for trial in each.tried]} if each.tried else {}),
        }
        if declared is not None and declared.adapter is not None and declared.enabled:
            described |= _declared(declared) | (
                {"no_account_source": [declared.accounts]} if each.name in without_source else {}
            )
            described |= {"unconfirmed_accounts": unconfirmed[each.name]} if each.name in unconfirmed else {}
    stages = [[f"{step.operation} {step.system}" for step in stage] for stage in usable.stages(Operation.ERASE)]
    return {"systems": systems, "erasure": stages} | ({"emitters": _fault_texts(emitters)} if emitters else {})


def _fault_texts(faults: Sequence[Fault]) -> list[dict[str, Any]]:
    return [{"file": each.file, "place": each.place, "says": each.says} for each in faults]


def _declared(declared: Downstream) -> dict[str, Any]:
    """Returns what a system will be asked to do, and what not."""
    can = declared.capabilities
    lacking = can.undeclared
    asked_for = [each for each in Operation if each is not Operation.PLAN]  # it comes with erasing
    able = [each for each in asked_for if declared.can(each) and each not in declared.not_held | lacking]
    described: dict[str, Any] = {"needs": sorted(declared.needs), "operations": able}
    if declared.tenants is None or declared.tenants:
        described["tenants"] = ["any"] if declared.tenants is None else sorted(declared.tenants)
    if declared.unclassified_categories or not declared.categories:
        described["unknown_categories"] = [*declared.unclassified_categories]
    if by_hand := [each for each in Operation if declared.by_hand(each) or each in lacking - declared.not_held]:
        described["by_hand"] = by_hand
    names_none = Operation.RECTIFY in declared.not_held  # it holds nothing to correct, so it lacks nothing
    lacks = (
        (key, tuple(can.missing_declarations.get(key, ()))) for key in _LABELS if key != "uncorrected" or not names_none
    )
    described |= {key: names for key, names in lacks if names}
    if not_compared := declared.not_compared:
        described["not_compared"] = not_compared
    if can.asks_before_marketing:
        described["asks_before_marketing"] = [declared.name]
    return described


def lines_of(found: Mapping[str, Any]) -> list[str]:
    """Renders the report: lines for each system and its faults, and one for the order."""
    lines: list[str] = []
    for name, system in found["systems"].items():
        lines.append(f"{name}  ({system['adapter'] or '?'})  {_line(system)}")
        if system["not_set"]:
            lines.append(f"  checked by the file alone: {', '.join(system['not_set'])} not set")
        lines += [f"  {remark}" for remark in _remarks(system)]
        lines += _table(system.get("tried", ()))
        lines.extend(f"  {Fault(**fault)}" for fault in (*system["faults"], *system["by_person"]))
    if "emitters" in found:
        lines += ["emitters", *(f"  {Fault(**fault)}" for fault in found["emitters"])]
    order = "; then ".join(", ".join(stage) for stage in found["erasure"])
    return [*lines, f"an erasure: {order}"] if order else lines


def _table(tried: Sequence[Mapping[str, str]]) -> list[str]:
    """Renders what was tried, a line each; the statement to paste stands alone below its line."""
    wide = [max(len(each[name]) for each in tried) for name in ("operation", "how")] if tried else [0, 0]
    lines = []
    for each in tried:
        lines.append(f"  {each['operation']:{wide[0]}}  {each['how']:{wide[1]}}  {each['missing'] or 'works'}")
        lines += [f"    {each['line']};"] if each["line"] else []
    return lines


_LABELS: Mapping[str, str] = {
    "by_hand": "done by hand",
    "unrestricted": "restricted by hand, since it shows no restriction",
    "uncorrected": "corrected by hand, since it declares no rectifies",
    "tenants": "separates",
    "people_not_counted": "max_people counts no one there, since no person is declared",
    "never_shown": "never shown, since no party is declared",
    "texts_not_searched": "free text is not searched, an officer looks",
    "unexplained": "shown in a copy without its meaning, since it declares no explain",
    "not_yielded": "not followed to other tables and systems, since yields lacks it",
    "claims_accounts": "an account found by an address is a claim: its rows that name others go to an officer",
    "unconfirmed_accounts": "an officer decides whose a row is, unless the account is proved",
    "no_account_source": "no system yields an account_id of its namespace (accounts)",
    "not_compared": "not compared with the suppression list",
    "asks_before_marketing": "asks before it sends marketing",
}
"""Texts of the report, by key of a capability."""


def _line(system: Mapping[str, Any]) -> str:
    if not system["enabled"]:
        return "not enabled"
    if "needs" not in system:
        return "cannot be used"
    return f"searched by {' or '.join(system['needs'])}: {', '.join(system['operations'])}"


def _remarks(system: Mapping[str, Any]) -> list[str]:
    """Returns what to know of a system that can be used, a line each."""
    remarks = [f"{words}: {', '.join(system[key])}" for key, words in _LABELS.items() if key in system]
    if (unknown := system.get("unknown_categories")) is not None:
        missing = f"no category of the policy names {', '.join(unknown)}" if unknown else "no categories are declared"
        remarks.append(f"{missing}, so the strictest proof is needed")
    return remarks
