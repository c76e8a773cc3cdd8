"""A changed file of the policy, and nothing else, changes the answer, for each kind of file; no key is dropped."""

import tomllib
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from deploy.local.paths import ROOT
from services.commands.policy import policy as commands
from services.export.pieces import Piece
from services.intake.request.disclosed import recipients
from services.intake.request.reasons import read_reasons
from shared.domain.holds import hold_policy
from shared.domain.policy import SHIPPED, Period, Policy, first_kept, parse_period, read_policy, release
from shared.domain.policy.reading import FILES
from shared.domain.policy_files import FOLDER, suppression_policy, sweep_policy
from shared.domain.proofs import ProofAction, proof_policy
from shared.domain.rights import Right
from shared.systems.engine.copying import Copies
from shared.systems.engine.ownership import OwnedRecord
from shared.systems.engine.retaining import erasure_effect
from shared.systems.sql.dataset import Dataset, Tenancy
from tests.fixtures.packages import made_of, unpacked
from tests.fixtures.policy import SIGNED, changed
from tests.fixtures.report_reader import read
from tests.fixtures.shapes import tables_of

AT = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
CALL = Piece("cdr", "call_record", "cdr.acc_cdrs", {"started": "2026-03-01T22:30:00+00:00"}, {})


def over(folder: Path, name: str, text: str) -> Policy:
    """The shipped policy with these lines over one of its files."""
    (folder / name).write_text(text, encoding="utf-8")
    return read_policy(folder)


async def text_of(policy: Policy, item: str) -> str:
    files = unpacked(await made_of([CALL], Right.ACCESS, AT, policy=policy, country="DE"))
    return " ".join(read(files["report.html"].decode()).items[item].says)


def shown(policy: Policy) -> dict[str, Any]:
    """Returns the fields shown to the called party if the caller withheld their number."""
    types = {"start_time": "timestamp without time zone"}
    table = tables_of(Dataset.load("kamailio"), types, Tenancy({None: ("ours",)}))["acc_cdrs"]
    number = {"caller": "0034688886392", "caller_e164": "+34688886392"}
    held = dict.fromkeys(table.columns, "") | number | {"privacy": "id", "src_ip": "198.18.0.7"}
    record = table.record(held, (), data=True)
    return dict(Copies("cdr", policy).record(OwnedRecord(record, frozenset({"callee"}))).data)


async def test_categories_what_an_erasure_does_and_what_is_decided_by_automated_means(tmp_path: Path) -> None:
    table = tables_of(Dataset.load("analytics"))["event"].shape
    automated = '[purposes.billing.automation]\nlogic = "By arrears."\nconsequences = "Service ends."\n'
    policy = over(tmp_path, "categories.toml", f'{automated}[categories.analytics]\non_erasure = "anonymise"\n')
    assert (erasure_effect(table, read_policy()), erasure_effect(table, policy)) == ("delete", "anonymise")
    assert "By arrears. Service ends." in await text_of(policy, "A15.h")
    assert "by automated means alone" in await text_of(read_policy(), "A15.h")


def test_retention_until_when_something_is_kept(tmp_path: Path) -> None:
    policy = read_policy(changed(tmp_path, 'period = "P18M"\nanchor', 'period = "P12M"\nanchor'))
    days = []
    for each in (read_policy(), policy):
        rule = each.rules["calls_us_18m"]
        assert rule.period
        days.append(release(rule.period, date(2025, 4, 1), each.zone_of(rule)).last_day)
    assert days == [date(2026, 10, 1), date(2026, 4, 1)]


async def test_recipients_come_from_the_policy(tmp_path: Path) -> None:
    text = (
        '[recipients.carrier]\nname = "Carrier X"\nrole = "controller"\ncountry = "DE"\n'
        'contact = { email = "dpo@carrier.example" }\ncategories = ["call_record"]\nidentified_by = ["phone"]\n'
    )
    policy = over(tmp_path, "parties.toml", text)
    assert "Carrier X" in await text_of(policy, "A15.c")
    assert "names no recipient of these data outside our company" in await text_of(read_policy(), "A15.c")
    assert recipients(policy, frozenset({"call_record"})).keys() == {"carrier"}


async def test_authorities_to_whom_one_may_complain(tmp_path: Path) -> None:
    policy = over(tmp_path, "authorities.toml", '[authorities.DE]\nname = "Amt X"\nsite = "https://amt.example"\n')
    assert "Amt X (https://amt.example)" in await text_of(policy, "A15.f")
    assert "Amt X" not in await text_of(read_policy(), "A15.f")


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
    text = (FOLDER / "sweep.toml").read_text(encoding="utf-8")
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
            lambda over: proof_policy(over).least(ProofAction.ACCESS),
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
def test_companys_own_policy_file_changes_the_effects_and_the_version(
    tmp_path: Path, name: str, text: str, says: Callable[[Path | None], object]
) -> None:
    ours = over(tmp_path, name, text)
    assert ours.overlay == tmp_path
    assert says(tmp_path) != says(None)
    assert ours.version != read_policy().version


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


# A period ends with the end of a local day, as counsel's worked examples have it.
VECTORS = ROOT / "tests" / "fixtures" / "release-vectors.json"
RUNNER = CliRunner()
days = st.dates(date(1990, 1, 1), date(2100, 12, 31))
periods = st.builds(Period, st.integers(0, 120), st.integers(1, 400))


@pytest.mark.parametrize(
    ("text", "period"),
    [("P18M", Period(18, 0)), ("P7Y", Period(84, 0)), ("P90D", Period(0, 90)), ("P1Y2M3D", Period(14, 3))],
)
def test_periods_are_read_as_iso_8601_writes_them(text: str, period: Period) -> None:
    assert parse_period(text) == period


@pytest.mark.parametrize(
    "text", ["", "P", "18M", "P18", "P0M", "P1W", "PT18M", "P-1M", "P1.5Y", "P101Y", " P1Y", "p1y"]
)
def test_what_is_no_period_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no period|is longer than a hundred years"):
        parse_period(text)


def test_an_instant_without_offset_has_no_local_day() -> None:
    with pytest.raises(ValueError, match="offset"):
        release(parse_period("P1M"), datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None), "UTC")


@given(days, periods)
def test_what_is_kept_ends_on_one_day_and_goes_on_the_next(day: date, period: Period) -> None:
    found = release(period, day, "UTC")
    assert found.purge_from - found.last_day == timedelta(days=1)
    assert found.last_day > day


@given(days, periods)
def test_what_began_later_never_goes_earlier(day: date, period: Period) -> None:
    assert release(period, day, "UTC").last_day <= release(period, day + timedelta(days=1), "UTC").last_day


@given(days, periods)
def test_what_is_kept_today_began_on_the_first_kept_day_or_later(today: date, period: Period) -> None:
    first = first_kept(period, today)
    assert release(period, first, "UTC").last_day >= today
    assert release(period, first - timedelta(days=1), "UTC").last_day < today


@given(st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)), periods)  # noqa: DTZ001
def test_an_instant_counts_as_its_local_day(instant: datetime, period: Period) -> None:
    eastern = release(period, instant, "Etc/GMT-14").last_day
    western = release(period, instant, "Etc/GMT+12").last_day
    assert western <= release(period, instant, "Europe/Berlin").last_day <= eastern


@pytest.mark.parametrize("example", orjson.loads(VECTORS.read_bytes()), ids=lambda each: each["id"])
def test_the_worked_examples_of_counsel_are_computed_alike(example: dict[str, Any]) -> None:
    text = example["anchor"]
    anchor = datetime.fromisoformat(text) if "T" in text else date.fromisoformat(text)
    period = Period(0, 0) if example["period"] == "P0D" else parse_period(example["period"])
    found = release(period, anchor, example.get("zone") or read_policy().controller.zone)
    computed = {"release": found.last_day.isoformat(), "purge_from": found.purge_from.isoformat()}
    assert computed == example["expected"]


def test_a_mistyped_period_is_found_by_the_check(tmp_path: Path) -> None:
    changed(tmp_path, 'period = "P18M"\nanchor = "call_start"', 'period = "P18D"\nanchor = "call_start"')
    found = RUNNER.invoke(commands, ["check", "--over", str(tmp_path)])
    assert found.exit_code == 1
    assert "rules.calls_us_18m.period: is P18D, implausibly short" in found.stdout
    assert RUNNER.invoke(commands, ["check", "--over", str(SIGNED), "--json"]).exit_code == 0
