"""Whoever edits the policy is told which declared system does not do it: nothing is asked of any, nothing is needed."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services import cli
from shared.domain.policy import read_policy
from shared.downstreams.registry import Wiring
from tests.fixtures.policy import changed
from tests.unit.test_registry import DEMO

CALLS = 'fields = ["caller_name", '
CDR = """
[cdr]
adapter = "sql"
dsn_env = "DSR_CDR_DSN"
dataset = "kamailio"
ours = ["us"]
needs = ["phone", "sip_uri"]
"""


def check(over: Path, systems: Path, *more: str) -> tuple[int, str]:
    """The status of ``dsr policy check``, and what it prints."""
    words = ["policy", "check", "--over", str(over), "--systems", str(systems), *more]
    done = CliRunner().invoke(cli.app, words)
    return done.exit_code, done.stdout


def test_a_field_that_no_dataset_has_is_named_where_the_policy_is_checked(tmp_path: Path) -> None:
    over = changed(tmp_path, CALLS, 'fields = ["caller_nmae", ')
    status, said = check(over, DEMO, "--json")
    told = json.loads(said)
    assert (status, told["usable"], list(told["systems"])) == (1, True, ["cdr"])
    [slip] = told["systems"]["cdr"]
    assert slip.startswith("acc_cdrs.keeps does not say where caller_nmae is, which calls_us_18m keeps")
    assert f"cdr: {slip}" in check(over, DEMO)[1].splitlines()


def test_a_category_that_a_dataset_does_not_say_how_to_anonymise_is_named(tmp_path: Path) -> None:
    keeps = 'on_erasure = "restrict"\nkept_by = ["calls_us_18m", "dispute"]'
    over = changed(tmp_path, keeps, 'on_erasure = "anonymise"\nkept_by = []', "categories.toml")
    status, said = check(over, DEMO)
    assert status == 1
    assert "cdr: acc_cdrs holds call_record, which the policy anonymises: declare anonymise" in said


def test_what_is_declared_for_the_policy_is_in_order_and_what_cannot_be_used_is_said_to_be_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "over").mkdir()
    assert check(tmp_path / "over", DEMO, "--json")[0] == 0
    (tmp_path / "mine.toml").write_text(CDR.replace("ours", "our"), encoding="utf-8")
    status, said = check(tmp_path / "over", tmp_path / "mine.toml")
    assert (status, "cdr: its table cannot be used, so nothing is known of it" in said) == (1, True)
    monkeypatch.setenv("DSR_POLICY_OVERLAY", "/nowhere")
    assert Wiring.of_command(read_policy()).policy.version == read_policy().version, "the one that is checked"


def test_downstreams_check_says_it_by_the_files_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (over := tmp_path / "over").mkdir()
    monkeypatch.setenv("DSR_POLICY_OVERLAY", str(changed(over, CALLS, 'fields = ["caller_nmae", ')))
    (tmp_path / "mine.toml").write_text(CDR, encoding="utf-8")
    done = CliRunner().invoke(cli.app, ["downstreams", "check", str(tmp_path / "mine.toml"), "--file-only"])
    assert "does not say where caller_nmae is" in done.stdout
    assert done.exit_code == 1
