"""Commands about the register of assignments: whose a number was, and when."""

import asyncio
import csv
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from pydantic import TypeAdapter

from shared.domain.assignments import AssignedNumber, Line
from shared.domain.clock import Moment, SystemClock
from shared.domain.errors import DsrError, Misconfigured
from shared.domain.identities import Identity, IdentityType, MalformedIdentity, normalise
from shared.domain.policy_files import assignments_policy
from shared.domain.user_events import FILE_SOURCE
from shared.runtime.settings import VaultSettings, WorkSettings
from shared.storage import keyring
from shared.storage.postgres import PostgresSettings, connected
from shared.storage.register import FillResult, TooMuchLost, announce, fill
from shared.systems.registry import Downstreams, Wiring

assignments = typer.Typer(help="The register of assignments: whose a number was, and when.")

_MOMENT = TypeAdapter(Moment)
_COLUMNS = ("number", "account_id", "valid_from", "valid_to", "line")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


AcceptLosses = Annotated[
    bool,
    typer.Option(
        "--accept-losses",
        help="Take over a reading also if it ends or corrects more than shared/policy/assignments.toml allows.",
    ),
]


@assignments.command()
def read(*, as_json: AsJson = False, accept_losses: AcceptLosses = False) -> None:
    """Fill the register from the system that the downstreams file names by `assigns = true`.

    The deadline service does so regularly (`DSR_DEADLINE_ASSIGNMENTS_SECONDS`).
    """
    began = SystemClock().now()
    system, rows = asyncio.run(_read())
    _print(asyncio.run(_fill(system, system, rows, began, accept_losses=accept_losses)), as_json=as_json)


@assignments.command("import")
def import_file(
    file: Path,
    namespace: Annotated[
        str, typer.Option(help="The system whose account ids the file holds, as in the downstreams file.")
    ],
    *,
    as_json: AsJson = False,
    accept_losses: AcceptLosses = False,
) -> None:
    """Fill the register from a CSV file that holds every assignment.

    Its first line is number,account_id,valid_from,valid_to,line. A number is E.164 or sip:user@domain; times are ISO
    8601 with their zone, and valid_to is empty while the number is theirs; line is personal or shared.
    """
    rows, now = list(rows_of(file)), SystemClock().now()
    _print(asyncio.run(_fill(FILE_SOURCE, namespace, rows, now, accept_losses=accept_losses)), as_json=as_json)


def rows_of(file: Path) -> Iterator[AssignedNumber]:
    """Reads the rows of a CSV file of assignments.

    Raises:
        Misconfigured: names the line that cannot be used, and never what stands in it.
    """
    with file.open(newline="", encoding="utf-8-sig") as opened:
        reader = csv.DictReader(opened)
        if tuple(reader.fieldnames or ()) != _COLUMNS:
            raise Misconfigured(f"{file}: the first line must be {','.join(_COLUMNS)}")
        for row in reader:
            try:
                yield _row(row)
            except (ValueError, TypeError, MalformedIdentity) as error:
                fault = (
                    str(error)
                    if isinstance(error, MalformedIdentity)
                    else "a time, a line or a field is not as it must be"
                )
                raise Misconfigured(f"{file}: line {reader.line_num}: {fault}") from None


def _row(row: dict[str, str]) -> AssignedNumber:
    kind = IdentityType.SIP_URI if row["number"].startswith("sip") else IdentityType.PHONE
    since, until = _moment(row["valid_from"]), _moment(row["valid_to"]) if row["valid_to"] else None
    if until is not None and until <= since:
        raise ValueError("it ends before it begins")
    account = normalise(IdentityType.ACCOUNT_ID, row["account_id"])
    return AssignedNumber(Identity(kind, normalise(kind, row["number"]), since, until), account, Line(row["line"]))


def _moment(text: str) -> datetime:
    return _MOMENT.validate_python(text).astimezone(UTC)


async def _read() -> tuple[str, Sequence[AssignedNumber]]:
    path = WorkSettings.of_environment().downstreams
    loaded = Downstreams.load(path, Wiring.of_command())
    try:
        adapters: dict[str, Any] = {each.name: each.adapter for each in loaded.all if each.assigns}
        for name, adapter in adapters.items():  # one at most, and of the protocol Assigning, or it would not be loaded
            return name, await adapter.assignments()
    except DsrError as error:
        raise Misconfigured(f"whose the numbers are could not be read; the register is as it was: {error}") from error
    finally:
        await loaded.close()
    raise Misconfigured(f"{path}: no system says whose a number is; write assigns = true, or import a file")


async def _fill(
    source: str, namespace: str, rows: Sequence[AssignedNumber], read_at: datetime, *, accept_losses: bool
) -> FillResult:
    keys = keyring.load(VaultSettings.of_environment().keyring)
    believed = None if accept_losses else assignments_policy().readings
    async with connected(PostgresSettings.of_environment().dsn) as connection:
        try:
            filled = await fill(connection, keys, source, namespace, rows, read_at, believed=believed)
        except TooMuchLost as lost:
            raise Misconfigured(f"{lost}; --accept-losses takes it over all the same") from None
        await announce(connection, SystemClock().now())
    return filled


def _print(filled: FillResult, *, as_json: bool) -> None:
    if as_json:
        typer.echo(orjson.dumps({"learned": filled.learned, "ended": filled.ended, "undated": filled.undated}))
    else:
        typer.echo(
            f"{filled.learned} assignments learned or corrected, {filled.ended} ended;"
            f" {filled.undated} numbers without a period, which it attributes to no account"
        )
