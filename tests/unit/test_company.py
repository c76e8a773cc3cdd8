"""The demonstration company is believable, the same every time, and full of the traps that it promises."""

import asyncio
import fcntl
import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import phonenumbers
import pytest
from uuid_utils.compat import uuid7

from deploy.demo import planned
from deploy.demo.company import Company, Customer, Phone, Size, found
from deploy.demo.company.calls import ANONYMOUS, SPELLINGS
from deploy.demo.company.model import AGEING
from deploy.local.services import Services
from deploy.up import environment, sample, start
from deploy.up.environment import Lock
from deploy.up.supervisor import Supervisor
from services.intake.submission.schemas import Submission
from shared.domain.errors import Misconfigured
from shared.systems.check import check
from shared.systems.registry import Wiring
from tests.fixtures.policy import signed_policy

SMALL = Size(customers=900, calls=12_000, tickets=1_200)


@pytest.fixture(scope="module")
def company() -> Company:
    return found(SMALL)


def _assigned(company: Company) -> dict[str, list[Phone]]:
    """Returns the periods of customers for each number."""
    assigned = defaultdict(list)
    for phone in (phone for customer in company.customers for phone in customer.phones):
        assigned[phone.number].append(phone)
    return assigned


def _numbers(customer: Customer) -> set[str]:
    return {spelling + phone.number[1:] for phone in customer.phones for spelling in SPELLINGS}


def test_every_number_of_a_customer_and_of_a_call_is_valid(company: Company) -> None:
    numbers = {phone.number for customer in company.customers for phone in customer.phones}
    for call in company.calls:
        numbers.update("+" + raw.lstrip("+0") for raw in (call.caller, call.callee) if raw != ANONYMOUS)
    invalid = {number for number in numbers if not phonenumbers.is_valid_number(phonenumbers.parse(number))}
    assert invalid == set()


def test_a_number_has_one_holder_at_a_time_and_rests_between_two(company: Company) -> None:
    assigned = [sorted(phones, key=lambda phone: phone.valid_from) for phones in _assigned(company).values()]
    reassigned = [phones for phones in assigned if len(phones) > 1]
    assert len(reassigned) >= 20
    holders = [customer.code for customer in company.customers for phone in {each.number for each in customer.phones}]
    assert len(holders) >= sum(map(len, assigned)), "a number that is returned goes to another customer"
    for phones in reassigned:
        for before, after in pairwise(phones):
            assert before.valid_to is not None
            assert after.valid_from - before.valid_to >= AGEING


def test_customers_call_with_a_number_only_while_they_hold_it(company: Company) -> None:
    assigned = _assigned(company)
    for call in company.calls:
        if phones := assigned.get(call.pai or "+" + call.caller.lstrip("+0")):
            assert any(phone.held_at(call.start) for phone in phones)


# `make up` and `make down` without servers: whom they take for their own, and what they write for scripts.
HOLDING = """
import sys
from pathlib import Path
from deploy.up.environment import Lock
with Lock(Path(sys.argv[1])).held():
    print("held", flush=True)
    sys.stdin.read()
"""
KNOWN = {
    "api": "http://127.0.0.1:8000",
    "broker": "127.0.0.1:9092",
    "database": "postgresql://dsr@127.0.0.1/dsr",
    "keys": {"channel": "dsr_one", "privacy": "dsr_two"},
    "settings": {"DSR_POSTGRES_DSN": "postgresql://dsr:it's@127.0.0.1/dsr"},
}


def test_an_id_that_was_given_to_another_process_since_is_never_taken_for_the_supervisors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def kill(pid: int, _signal: int) -> None:
        raise AssertionError(f"{pid} is another's process")

    (tmp_path / "up.pid").write_text(str(os.getpid()))
    monkeypatch.setattr(os, "kill", kill)
    environment.write(tmp_path, KNOWN)
    start.down(tmp_path)
    assert "Nothing of `make up` runs here" in capsys.readouterr().out
    assert not (tmp_path / environment.FILE).exists()


def test_who_holds_the_lock_is_known_until_they_are_gone(tmp_path: Path) -> None:
    assert Lock(tmp_path).holder is None
    lock = Lock(tmp_path)
    command = [sys.executable, "-c", HOLDING, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holding:
        assert holding.stdout is not None
        holding.stdout.readline()
        assert Lock(tmp_path).holder == holding.pid
        with pytest.raises(BlockingIOError), lock.held():
            pass
        assert not lock.wait_until_free(1)
        holding.kill()
        assert lock.wait_until_free(10)
    assert Lock(tmp_path).holder is None


def test_running_demonstration_is_named_if_the_platform_is_not_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(start, "_DEMONSTRATION", tmp_path / "demo.lock")
    with (tmp_path / "demo.lock").open("a") as demonstration:
        fcntl.flock(demonstration, fcntl.LOCK_EX)
        start.down(tmp_path)
    assert "A demonstration runs" in capsys.readouterr().out


def test_keys_and_settings_are_private_and_stay_out_of_a_shell(tmp_path: Path) -> None:
    environment.write(tmp_path, KNOWN)
    environment.write(tmp_path, KNOWN)
    modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
    assert modes == {"environment.json": 0o600, "environment.sh": 0o600, "dsr": 0o700}
    assert json.loads((tmp_path / "environment.json").read_text()) == KNOWN
    shell = subprocess.run(
        ["/bin/sh", "-c", f". '{tmp_path}/environment.sh'; echo $API $CHANNEL_KEY; env"],
        capture_output=True,
        text=True,
        check=True,
        env={},
    )
    assert shell.stdout.startswith("http://127.0.0.1:8000 dsr_one\n")
    assert "DSR_" not in (tmp_path / "environment.sh").read_text()
    assert "export DSR_API_URL=http://127.0.0.1:8000\nexport DSR_API_KEY=dsr_two\n" in (tmp_path / "dsr").read_text()
    assert "export DSR_POSTGRES_DSN='postgresql://dsr:it'\"'\"'s@127.0.0.1/dsr'" in (tmp_path / "dsr").read_text()


def test_the_request_that_it_prints_is_accepted() -> None:
    [body] = re.findall(r"-d '(\{.*?\})'", environment.curl("http://here", "key"))
    assert Submission.model_validate_json(body).right


def test_going_on_with_another_schema_ends_with_what_to_type_instead(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path, sample.DOWNSTREAMS, keep=True)
    services = Mock(spec=Services)
    services.prepare.side_effect = Misconfigured("the database has platform of another version")
    with pytest.raises(Misconfigured, match=r"version .`make up` without KEEP=1 starts empty.$"):
        supervisor.prepare(services)


def test_the_sample_store_is_declared_without_a_fault() -> None:
    (checked,) = asyncio.run(check(sample.DOWNSTREAMS, Wiring.of_command(), live=False))
    assert not checked.faults
    assert not checked.manual_parts


# Ports are given out once, also among processes of the same machine.
_WIDTH = 200
_THEIRS = "import json, sys; from deploy.local import ports; ports._LOWEST, ports._HIGHEST = map(int, sys.argv[1:]); "
_TELL = "print(json.dumps(ports.free_ports(60)))"


# The demo and the browser tests find Chromium however it came to the machine.
def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    path.chmod(0o755)
    return path


# The broker that all tests share has the services of one platform: those of another would join the same groups.
TESTS = Path(__file__).parents[1]


def test_no_services_but_those_that_all_share_stand_on_the_shared_broker() -> None:
    places = [path for path in TESTS.rglob("*.py") if "bench" not in path.parts]
    standing = [path for path in places if re.search(r"\bServers\([^)]*\bplatform\.kafka_", path.read_text())]
    assert standing == [TESTS / "fixtures" / "live.py"]


# What the demonstration says of a plan and of receipts: each reason once, and no difference unseen.
KEPT = [
    {"category": name, "rule": "invoices_84m", "count": 1, "first": "2033-06-30", "last": "2033-06-30"}
    for name in ("customer", "address")
]


def view(**said: Any) -> dict[str, Any]:
    task = {
        "task_id": str(uuid7()),
        "system": "crm",
        "operation": "erase",
        "outcome": "retained",
        "found": 5,
        "changed": 3,
    }
    found = {"by_category": {"customer": 1, "address": 1, "contact": 3}, "kept": KEPT}
    return {"tasks": [{**task, **found, **said}, {**task, "operation": "locate", "outcome": "located"}]}


def test_a_row_more_another_day_or_another_rule_is_a_difference() -> None:
    policy = signed_policy()

    def facts(**said: Any) -> planned.Facts:
        return planned.facts(planned.of_receipts(view(**said), policy))

    assert facts() == facts()
    assert facts() != facts(by_category={"customer": 1, "address": 1, "contact": 4})
    for other in ({"last": date(2034, 6, 30)}, {"rule": "active_contract"}, {"count": 0}):
        assert facts() != facts(kept=[{**KEPT[0], **other}, KEPT[1]]), other
