"""A period far from the one as shipped does nothing before whoever signs it has written it twice; others are told."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from shared.domain.errors import Misconfigured
from shared.domain.policy import Policy, parse_period, read_policy
from shared.domain.policy.explaining import open_points
from tests.fixtures.policy import signed_policy

TODAY = date(2026, 10, 1)
SIGNED = 'by = "Counsel"\non = 2026-01-01\nexpires = "P1Y"\n'
NEW = 'category = "ticket"\nwords = "w"\nanchor = "resolved"\nthen = "delete"\n'


def saying(folder: Path, table: str, period: str, *, more: str = "", signed: str = SIGNED) -> Policy:
    text = f'[{table}]\nperiod = "{period}"\n{more}[{table}.sign_off]\n{signed}'
    (folder / "retention.toml").write_text(text, encoding="utf-8")
    return read_policy(folder)


def is_signed(policy: Policy, table: str) -> bool:
    kind, name = table.split(".")
    return bool(getattr(policy, kind)[name].signed(TODAY))


FAR = [
    ("rules.consents_36m", "P36D", ""),
    ("rules.consents_36m", "P1095D", ""),
    ("ceilings.calls_de_6m", "P6D", ""),
    ("ceilings.signalling_90d", "P90Y", ""),
    ("ceilings.request_files_36m", "P18M", ""),
    ("ceilings.tix", "P3D", NEW),
]


@pytest.mark.parametrize(("table", "period", "more"), FAR)
def test_a_slip_is_signed_by_nobody_until_the_sign_off_names_its_period(
    tmp_path: Path, table: str, period: str, more: str
) -> None:
    policy = saying(tmp_path, table, period, more=more)
    assert not is_signed(policy, table)
    assert any(point.startswith(f"{table} is P") for point in open_points(policy, read_policy(), TODAY))


@pytest.mark.parametrize(("table", "period", "more"), FAR)
def test_a_period_that_its_sign_off_names_is_meant(tmp_path: Path, table: str, period: str, more: str) -> None:
    meant = saying(tmp_path, table, period, more=more, signed=f'{SIGNED}period = "{period}"\n')
    assert is_signed(meant, table)
    assert not any(point.startswith(f"{table} is P") for point in open_points(meant, read_policy(), TODAY))


@pytest.mark.parametrize(
    ("table", "period"),
    [("rules.calls_us_18m", "P12M"), ("ceilings.signalling_90d", "P60D"), ("ceilings.signalling_90d", "P3M")],
)
def test_a_period_that_is_near_needs_no_more_than_a_signature(tmp_path: Path, table: str, period: str) -> None:
    assert is_signed(saying(tmp_path, table, period), table)


@pytest.mark.parametrize(
    ("period", "signed", "told"),
    [
        ("P36M", SIGNED.replace("Counsel", "  "), "by"),
        ("P30M", f'{SIGNED}period = "P36M"\n', "its sign-off is of P36M"),
    ],
)
def test_a_blank_signature_or_one_of_another_period_is_refused(
    tmp_path: Path, period: str, signed: str, told: str
) -> None:
    with pytest.raises(Misconfigured, match=told):
        saying(tmp_path, "rules.consents_36m", period, signed=signed)


def test_what_is_deleted_before_it_is_anonymised_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"is over before ceilings\.analytics_14m has"):
        saying(tmp_path, "ceilings.analytics_26m", "P13M")


@pytest.mark.parametrize(
    ("period", "signed", "told"),
    [
        ("P84M", {}, False),
        ("P72M", {}, True),
        ("P84M", {"fictitious": False}, True),
        ("P72M", {"period": parse_period("P72M")}, False),
    ],
    ids=["as shipped, in a demonstration", "shortened", "by a company", "the sign-off names it"],
)
def test_a_sign_off_that_does_not_say_what_was_signed_is_an_open_point(
    period: str, signed: dict[str, Any], *, told: bool
) -> None:
    policy = signed_policy()
    rule = policy.rules["invoices_84m"]
    assert rule.sign_off
    update = {"period": parse_period(period), "sign_off": rule.sign_off.model_copy(update=signed)}
    changed_ = policy.with_other(rules={**policy.rules, "invoices_84m": rule.model_copy(update=update)})
    said = [each for each in open_points(changed_, read_policy(), TODAY) if "of which period it is" in each]
    assert [each.split(",")[0] for each in said] == ([f"rules.invoices_84m is {period}"] if told else [])
