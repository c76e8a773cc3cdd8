"""A signed period is written twice: in its rule or ceiling, and in the sign-off."""

from datetime import date
from pathlib import Path

import pytest

from shared.domain.errors import Misconfigured
from shared.domain.policy import Policy, read_policy

SIGNED = 'by = "Counsel"\non = 2026-01-01\nexpires = "P1Y"\n'


def saying(folder: Path, table: str, period: str, signed: str) -> Policy:
    text = f'[{table}]\nperiod = "{period}"\n[{table}.sign_off]\n{signed}'
    (folder / "retention.toml").write_text(text, encoding="utf-8")
    return read_policy(folder)


def test_a_period_that_its_sign_off_names_is_signed(tmp_path: Path) -> None:
    policy = saying(tmp_path, "rules.consents_36m", "P30M", f'{SIGNED}period = "P30M"\n')
    assert policy.rules["consents_36m"].signed(date(2026, 10, 1))


@pytest.mark.parametrize("table", ["rules.consents_36m", "ceilings.calls_de_6m"])
@pytest.mark.parametrize(
    ("signed", "told"),
    [
        (SIGNED, 'write period = "P30M" there as well'),
        (f'{SIGNED}period = "P36M"\n', "its sign-off is of P36M"),
        (f'{SIGNED}period = "P30M"\n'.replace("Counsel", "  "), "by"),
    ],
)
def test_a_sign_off_that_is_blank_or_does_not_name_the_period_is_refused(
    tmp_path: Path, table: str, signed: str, told: str
) -> None:
    with pytest.raises(Misconfigured, match=told):
        saying(tmp_path, table, "P30M", signed)


def test_what_is_deleted_before_it_is_anonymised_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"is over before ceilings\.analytics_14m has"):
        saying(tmp_path, "ceilings.analytics_26m", "P13M", f'{SIGNED}period = "P13M"\n')
