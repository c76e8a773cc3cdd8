"""Whatever calls there are, erasing or restricting somebody touches their fields alone, in their periods alone."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from deploy.demo.seed.cdr import CdrStore
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation
from shared.downstreams.sql.settings import path_of
from tests.fixtures.cdr import ANNA, BORIS, CHIARA, OURS, SqlEngine, ask, call, engine, number
from tests.fixtures.downstream import task
from tests.fixtures.written_calls import Written, write

LINE, USER = "+34918750146", "sip:1001@pbx.example"
WAYS: Mapping[str, tuple[str, ...]] = {
    ANNA: (ANNA, "00" + ANNA[1:], "000" + ANNA[1:], ANNA[3:]),
    BORIS: (BORIS, BORIS[1:]),
    CHIARA: (CHIARA,),
    LINE: (LINE, LINE[3:]),
    USER: ("1001",),
    "": ("", "112", "anonymous"),
}
"""How a trunk in Spain writes each of them; nobody is known by the last ones."""
DAYS = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=n) for n in range(10)]

Call = tuple[Written, tuple[str, str, str], datetime]
"""As it is written, who called, who was dialled and who was reached, and the day."""


def some_calls(rng: Random, count: int = 150) -> list[Call]:
    def anybody() -> tuple[str, str]:
        who = rng.choice(list(WAYS))
        return who, rng.choice(WAYS[who])

    calls: list[Call] = []
    for _ in range(count):
        (caller, shown), (dialled, first), day = anybody(), anybody(), rng.choice(DAYS)
        reached, last = anybody() if rng.random() < 0.4 else (dialled, first)
        hides = caller.startswith("+") and rng.random() < 0.3
        claims = hides and rng.random() < 0.5  # somebody else's number is shown: that it is theirs nobody can tell
        written = rng.choice((BORIS, CHIARA, ANNA)) if claims else "anonymous" if hides else shown
        known = caller if hides else None
        first, last = (text if text != "anonymous" else "112" for text in (first, last))
        calls.append((Written(written, known, first, last, day.date().isoformat()), (caller, dialled, reached), day))
    return calls


def some_periods(rng: Random) -> dict[str, tuple[datetime, datetime]]:
    """Whose the subject was, and when; never the line that several people use, which the register vouches to nobody."""
    return {
        who: (start, start + timedelta(days=rng.randrange(1, 9)))
        for who in rng.sample([ANNA, BORIS, USER], rng.randrange(1, 3))
        for start in [rng.choice(DAYS)]
    }


FIELDS = {
    "acc": (
        "src_user || coalesce(src_pai, '') || callid || src_ip",
        "dst_ouser || dst_odomain",
        "dst_user || dst_domain",
    ),
    "acc_cdrs": ("caller || coalesce(pai, '') || callid || user_agent", None, "callee || callee_domain"),
}


@pytest.mark.parametrize("operation", [Operation.ERASE, Operation.RESTRICT])
@pytest.mark.parametrize("seed", range(4))
async def test_erasing_or_restricting_somebody_never_blanks_or_hides_anybody_else(
    cdr_store: CdrStore, calls: SqlEngine, seed: int, operation: Operation
) -> None:
    rng = Random(seed)  # noqa: S311 - nothing here is a secret
    made, periods = some_calls(rng), some_periods(rng)
    await write(cdr_store, (written for written, *_ in made))
    held = {table: await fields(cdr_store.admin, table) for table in FIELDS}
    kind = {True: IdentityType.PHONE, False: IdentityType.SIP_URI}
    known = [
        Identity(kind[who.startswith("+")], who, since, until, "register") for who, (since, until) in periods.items()
    ]
    await calls.receipt(task(operation, *known))
    dsn = cdr_store.admin if operation is Operation.ERASE else cdr_store.reader
    for table in FIELDS:
        left = await fields(dsn, table)
        for row, (written, people, day) in enumerate(made, 1):
            mine = [who in periods and periods[who][0] <= day < periods[who][1] for who in people]
            texts = (written.caller.replace("anonymous", "") or written.pai, written.dialled, written.reached)
            parties = [n for n in range(3) if FIELDS[table][n] is not None]
            others = [n for n in parties if texts[n] and not mine[n]]
            if row not in left:
                assert not others, (table, written)
                assert any(mine[n] for n in parties), (table, written)
                continue
            for n in parties:
                assert left[row][n] == ("" if mine[n] else held[table][row][n]), (table, written, n)
    if operation is Operation.RESTRICT:
        assert {table: await fields(cdr_store.admin, table) for table in FIELDS} == held


async def fields(dsn: str, table: str) -> Mapping[int, tuple[str, ...]]:
    """By row what it holds of each party."""
    columns = ", ".join(column or "NULL" for column in FIELDS[table])
    return {row[0]: row[1:] for row in await ask(dsn, f"SELECT id, {columns} FROM {table}")}


async def test_field_of_one_party_is_corrected_for_that_party_alone(cdr_store: CdrStore, tmp_path: Path) -> None:
    await cdr_store.seed([call(ANNA, BORIS), call(BORIS, ANNA)])
    text, device = path_of("kamailio").read_text(encoding="utf-8"), 'user_agent = { class = "M"'
    assert device in text
    (tmp_path / "calls.toml").write_text(text.replace(device, f'{device}, rectifies = "device"'), encoding="utf-8")
    async with engine(cdr_store.privacy, tmp_path / "calls.toml", {"ours": [OURS]}) as calls:
        done = await calls.receipt(task(Operation.RECTIFY, number(ANNA), changes=[("device", None, "a telephone")]))
    assert done.changed == 1
    devices = await ask(cdr_store.admin, "SELECT caller, user_agent FROM acc_cdrs ORDER BY caller = $1", ANNA)
    assert devices == [(BORIS, "Linphone/5.2.6"), (ANNA, "a telephone")]
