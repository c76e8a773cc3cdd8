"""A changed file of the policy, and nothing else, changes the answer, for each kind of file; no key is dropped."""

import tomllib
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo

import pytest

from services.export.pieces import Piece
from services.export.report_reader import read
from services.intake.request.disclosed import recipients
from services.intake.request.reasons import read_reasons
from shared.domain.errors import Misconfigured
from shared.domain.holds import hold_policy
from shared.domain.policy import SHIPPED, Policy, read_policy, release
from shared.domain.policy.reading import FILES
from shared.domain.proofs import Action, proof_policy
from shared.domain.rights import Right
from shared.domain.suppression_policy import suppression_policy
from shared.domain.sweep_policy import POLICY as SWEEP
from shared.domain.sweep_policy import sweep_policy
from shared.downstreams.sql.catalog import Relation
from shared.downstreams.sql.declaration.dataset import Dataset
from shared.downstreams.sql.export import Sheet
from shared.downstreams.sql.finding.attribution import Row
from shared.downstreams.sql.keeping.by_policy import does_with
from shared.downstreams.sql.statements import Statements
from tests.fixtures.packages import made_of, unpacked
from tests.fixtures.policy import changed

AT = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
CALL = Piece("cdr", "call_record", "cdr.acc_cdrs", {"started": "2026-03-01T22:30:00+00:00"}, {})


def over(folder: Path, name: str, text: str) -> Policy:
    """The shipped policy with these lines over one of its files."""
    (folder / name).write_text(text, encoding="utf-8")
    return read_policy(folder)


async def told(policy: Policy, item: str) -> str:
    files = unpacked(await made_of([CALL], Right.ACCESS, AT, policy=policy, country="DE"))
    return " ".join(read(files["report.html"].decode()).items[item].says)


def shown(policy: Policy) -> dict[str, Any]:
    """What who was called is shown of a call whose caller withheld their number."""
    table = Dataset.load("kamailio").tables["acc_cdrs"]
    types = dict.fromkeys(table.columns, "text") | {"start_time": "timestamp without time zone"}
    statements = Statements("public", "acc_cdrs", table, Relation(types, frozenset()))
    held = dict.fromkeys(table.columns, "") | {"caller": "+34688886392", "privacy": "id", "src_ip": "198.18.0.7"}
    row = _Row([*held.values(), *[None] * 9], held)
    return dict(Sheet("cdr", statements, policy.redacts("call")).record(cast("Row", row), {"callee"}).data)


class _Row:
    def __init__(self, listed: list[Any], named: dict[str, Any]) -> None:
        self._listed, self._named = listed, named

    def __getitem__(self, at: int | slice | str) -> Any:
        return self._named[at] if isinstance(at, str) else self._listed[at]


async def test_categories_what_an_erasure_does_and_what_is_decided_by_automated_means(tmp_path: Path) -> None:
    table = Dataset.load("analytics").tables["event"]
    automated = '[purposes.billing.automation]\nlogic = "By arrears."\nconsequences = "Service ends."\n'
    policy = over(tmp_path, "categories.toml", f'{automated}[categories.analytics]\non_erasure = "anonymise"\n')
    assert (does_with(table, read_policy()), does_with(table, policy)) == ("delete", "anonymise")
    assert "By arrears. Service ends." in await told(policy, "A15.h")
    assert "by automated means alone" in await told(read_policy(), "A15.h")


def test_retention_until_when_something_is_kept(tmp_path: Path) -> None:
    policy = read_policy(changed(tmp_path, 'period = "P18M"\nanchor', 'period = "P12M"\nanchor'))
    days = []
    for each in (read_policy(), policy):
        rule = each.rules["calls_us_18m"]
        assert rule.period
        days.append(release(rule.period, date(2025, 4, 1), each.zone_of(rule)).last_day)
    assert days == [date(2026, 10, 1), date(2026, 4, 1)]


async def test_parties_who_is_told_and_who_has_received_the_data(tmp_path: Path) -> None:
    text = (
        '[recipients.carrier]\nname = "Carrier X"\nrole = "controller"\ncountry = "DE"\n'
        'contact = { email = "dpo@carrier.example" }\ncategories = ["call_record"]\nidentified_by = ["phone"]\n'
    )
    policy = over(tmp_path, "parties.toml", text)
    assert "Carrier X" in await told(policy, "A15.c")
    assert "names no recipient of these data outside our company" in await told(read_policy(), "A15.c")
    assert recipients(policy, frozenset({"call_record"})).keys() == {"carrier"}


async def test_authorities_to_whom_one_may_complain(tmp_path: Path) -> None:
    policy = over(tmp_path, "authorities.toml", '[authorities.DE]\nname = "Amt X"\nsite = "https://amt.example"\n')
    assert "Amt X (https://amt.example)" in await told(policy, "A15.f")
    assert "Amt X" not in await told(read_policy(), "A15.f")


def test_redaction_what_is_left_out_for_others(tmp_path: Path) -> None:
    text = '[redaction.withheld]\ncategories = ["ticket"]\n[redaction.others]\ncategories = ["ticket"]\n'
    before, after = shown(read_policy()), shown(over(tmp_path, "redaction.toml", text))
    assert (before["from"], "address" in before) == ("withheld", False)
    assert (after["from"], after["address"]) == ("+34688886392", "198.18.0.7")


@pytest.mark.parametrize(
    ("old", "new", "night", "too_much"),
    [
        ("share = 0.05", "share = 0.05", date(2026, 3, 2), True),
        ("share = 0.05", "share = 0.5", date(2026, 3, 2), False),
        ("few = 100", "few = 1000", date(2026, 3, 2), False),
        ("begins_at_hour = 1", "begins_at_hour = 6", date(2026, 3, 1), True),
    ],
)
def test_the_sweep_when_it_begins_and_when_it_asks(
    tmp_path: Path, old: str, new: str, night: date, *, too_much: bool
) -> None:
    text = SWEEP.read_text(encoding="utf-8")
    assert text.count(old) == 1
    (tmp_path / "sweep.toml").write_text(text.replace(old, new), encoding="utf-8")
    policy = sweep_policy(tmp_path)
    assert policy.is_too_much(200, 1_000) is too_much
    assert policy.night(datetime(2026, 3, 2, 3, tzinfo=ZoneInfo("America/New_York"))).date() == night


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        (
            "identity.toml",
            '[required_level.calls]\naccess = "L0"\n',
            lambda over: proof_policy(over).least(Action.ACCESS),
        ),
        ("holds.toml", "longest_months = 3\n", lambda over: hold_policy(over).longest_months),
        ("suppression.toml", "erasure = false\n", lambda over: suppression_policy(over).erasure),
        ("sweep.toml", "few = 7\n", lambda over: sweep_policy(over).few),
        (
            "answers.toml",
            '[refuse.RIGHTS_OF_OTHERS]\narticles = ["23(1)"]\n',
            lambda over: read_reasons(over).refuse["RIGHTS_OF_OTHERS"].articles,
        ),
    ],
)
def test_a_companys_own_file_beside_those_of_processing_changes_what_is_done_and_the_version(
    tmp_path: Path, name: str, text: str, says: Callable[[Path | None], object]
) -> None:
    ours = over(tmp_path, name, text)
    assert ours.overlay == tmp_path
    assert says(tmp_path) != says(None)
    assert ours.version != read_policy().version


def test_a_file_beside_them_that_cannot_be_used_is_named_with_its_line(tmp_path: Path) -> None:
    for name, text, says in (
        (
            "holds.toml",
            "longest_months = 3\nlongest_month = 3\n",
            r":2: longest_month: is no key here; write longest_mo",
        ),
        ("identity.toml", "on_file_day = 3\n", r":1: on_file_day: is no key here; write on_file_days"),
        ("answers.toml", '[refus.X]\narticles = ["12(5)"]\n', r".*: refus: is no key here; write refuse"),
        ("sweep.toml", "share = 5\n", r":1: share: holds 5"),
    ):
        with pytest.raises(Misconfigured, match=name + says):
            over(tmp_path, name, text)
        (tmp_path / name).unlink()


def leaves(said: object, *path: str) -> Iterator[tuple[str, ...]]:
    if isinstance(said, dict):
        for key, value in said.items():
            yield from leaves(value, *path, key)
    else:
        yield path


def test_every_key_of_the_policy_is_read_and_part_of_the_version_that_each_decision_records() -> None:
    """The version is of all that was read: what it does not have is no part of any decision."""
    read = read_policy().model_dump()
    keys = [path for name in FILES for path in leaves(tomllib.loads((SHIPPED / name).read_text(encoding="utf-8")))]
    for path in keys:
        place: Any = read
        for key in path:
            assert key in place, ".".join(path)
            place = place[key]
    assert len(keys) > 300
