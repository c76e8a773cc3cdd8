"""README.md and docs/plug-in.md, typed as they stand: the sample is asked; a store of one's own is plugged in."""

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from deploy.local.kafka import Kafka
from deploy.local.paths import ROOT
from deploy.local.postgres import find_postgres
from deploy.local.postgres_databases import as_role, fetch
from deploy.up import environment
from shared.storage.postgres import connected
from tests.fixtures.live import eventually

BLOCKS, OF_THE_README = (
    re.findall(r"^```sh run\n(.+?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
    for page in ("docs/plug-in.md", "README.md")
)
OF_A_STORE = re.findall(
    r"^```toml\n(.*?)^```", (ROOT / "docs" / "plug-in" / "sql.md").read_text(), re.DOTALL | re.MULTILINE
)
CHECKED, PREPARED, CHECKED_LIVE, UP, ASKED, FOLLOWED, DOWN = range(7)
SCHEMA = """
CREATE TABLE customer_order (order_id integer PRIMARY KEY, email text, goods text);
CREATE INDEX ON customer_order (lower(email));
INSERT INTO customer_order VALUES (1, 'Ada@Example.org', 'a headset'), (2, 'bob@example.org', 'a desk phone');
CREATE ROLE dsr_orders LOGIN PASSWORD 'orders';
GRANT SELECT, DELETE ON customer_order TO dsr_orders;
"""


CURL = """
import sys, urllib.request
url, headers, data, words = None, {}, None, iter(sys.argv[1:])
for word in words:
    match word:
        case "-sS": pass
        case "-H": headers.update([next(words).split(": ", 1)])
        case "-d": data = next(words).encode()
        case _: url = word
print(urllib.request.urlopen(urllib.request.Request(url, data, headers)).read().decode())
"""
"""A stand-in for curl, for machines without it."""


class Shell:
    """An engineer's shell in a checkout, whose path has a space; `make` runs the two targets of the page alone."""

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        self.folder = folder
        self.up = folder / ".local" / "up"
        (folder / ".venv" / "bin").mkdir(parents=True)
        product = f'PYTHONPATH="{ROOT}" exec "{sys.executable}" -P -m'
        self._script(folder / ".venv" / "bin" / "dsr", f'{product} services "$@"')
        targets = (
            f'case "$1" in up) set -- up ${{2:+--downstreams "${{2#DOWNSTREAMS=}}"}} ;; esac\n{product} deploy.up "$@"'
        )
        self._script(folder / "bin" / "make", f'{targets} --folder "{self.up}"')
        if shutil.which("curl") is None:
            (folder / "curl.py").write_text(CURL)
            self._script(folder / "bin" / "curl", f'exec "{sys.executable}" "{folder / "curl.py"}" "$@"')
        path = f"{folder / 'bin'}:{find_postgres().folder}:/usr/bin:/bin"
        self.environment = {**os.environ, **variables, "PATH": path}

    def _script(self, file: Path, text: str) -> None:
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"#!/bin/sh\n{text}\n")
        file.chmod(0o755)

    def runs(self, block: int | str, status: int = 0) -> str:
        """Runs a block of the page, or another command; returns its output."""
        script = block if isinstance(block, str) else BLOCKS[block]
        command = ["/bin/sh", "-c", f"set -eu\n{script}"]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    @property
    def known(self) -> dict[str, Any]:
        """Returns the content of environment.json."""
        return json.loads((self.up / environment.FILE).read_text())  # type: ignore[no-any-return]


@pytest.fixture
async def shell(tmp_path: Path, database: str, empty_database: str, broker: Kafka) -> AsyncIterator[Shell]:
    """Uses a store with two customers; leaves nothing running in the end."""
    async with connected(empty_database) as connection:
        await connection.execute(SCHEMA)
    variables = {
        "DSR_POSTGRES_DSN": database,
        "DSR_KAFKA_BOOTSTRAP": broker.bootstrap,
        "DSR_ORDERS_DSN": as_role(empty_database, "dsr_orders", "orders"),
        "ORDERS_OWNER_DSN": empty_database,
    }
    (folder := tmp_path / "a checkout").mkdir()
    (folder / "my-downstreams.toml").write_text(OF_A_STORE[0])
    (folder / "orders.toml").write_text(OF_A_STORE[1])
    shell = Shell(folder, variables)
    yield shell
    await asyncio.to_thread(shell.runs, "make down")
    await fetch(empty_database, "DROP OWNED BY dsr_orders")
    await fetch(empty_database, "DROP ROLE dsr_orders")


async def test_the_readme_leads_from_nothing_to_a_closed_request_and_leaves_nothing(
    shell: Shell, database: str
) -> None:
    begin, ask, follow_and_end = OF_THE_README
    shown = await asyncio.to_thread(shell.runs, begin)
    known = shell.known
    assert set(known["sites"].values()) <= set(map(str.strip, shown.splitlines()))
    addresses = [each for each in known["sites"].values() if each.startswith("http")]
    assert len(addresses) == 3
    async with httpx.AsyncClient(follow_redirects=True, trust_env=False) as browser:
        assert {(await browser.get(each)).status_code for each in addresses} == {200}
    assert {"identity-provider", "mailbox"} <= known["processes"].keys()
    shell.environment["REQUEST_ID"] = json.loads(await asyncio.to_thread(shell.runs, ask))["request_id"]
    followed = await asyncio.to_thread(shell.runs, follow_and_end)
    assert '"state":"closed","outcome":"fulfilled"' in followed
    assert re.search(r'"found":5,"operation":"export","outcome":"exported".*"system":"shop"', followed), followed
    assert await fetch(database, "SELECT FROM pg_database WHERE datname LIKE '%sample_shop'") == []


async def test_a_store_is_plugged_in_as_the_page_says(shell: Shell, empty_database: str) -> None:
    await asyncio.to_thread(_plug_in, shell)
    shell.environment["REQUEST_ID"] = json.loads(await asyncio.to_thread(shell.runs, ASKED))["request_id"]
    followed = await asyncio.to_thread(shell.runs, FOLLOWED)
    *steps, closed = [json.loads(line) for line in followed.splitlines()]
    assert (closed["state"], closed["outcome"]) == ("closed", "fulfilled")
    [erased] = [each["detail"] for each in steps if each.get("action") == "task.concluded"]
    assert (erased["system"], erased["outcome"], erased["found"], erased["changed"]) == ("orders", "erased", 1, 1)
    left = await fetch(empty_database, "SELECT email FROM customer_order")
    assert [row[0] for row in left] == ["bob@example.org"]

    os.kill(shell.known["processes"]["export"]["pid"], signal.SIGKILL)
    await eventually(partial(_says_that_it_ended, shell, "export"))
    pids = [shell.known["supervisor"]["pid"], *(each["pid"] for each in shell.known["processes"].values())]
    assert "Stopped" in await asyncio.to_thread(shell.runs, DOWN)
    assert await asyncio.to_thread(_left_of, [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]) == []
    assert not (shell.up / environment.FILE).exists()
    assert "Nothing of `make up` runs here" in await asyncio.to_thread(shell.runs, DOWN)


async def _says_that_it_ended(shell: Shell, name: str) -> bool:
    return f"{name} has ended" in await asyncio.to_thread(shell.runs, UP)


def _plug_in(shell: Shell) -> None:
    checked = json.loads(shell.runs(CHECKED))["systems"]["orders"]
    assert (checked["adapter"], checked["needs"], checked["faults"]) == ("sql", ["email"], [])
    refused = shell.runs("env -u DSR_ORDERS_DSN make up DOWNSTREAMS=my-downstreams.toml", status=1)
    assert "export DSR_ORDERS_DSN" in refused
    assert refused.endswith("Nothing was started.\n")
    shell.runs(PREPARED)
    shell.runs(CHECKED_LIVE)
    shown = shell.runs(UP)
    assert "The platform is up." in shown
    assert "as shipped and unsigned" in shown
    assert "; password " in shown  # real data may be shown
    assert shell.known["policy"] is None
    assert "DSR_POLICY_OVERLAY" not in shell.known["settings"]
    assert {"user.events.selfcare", "user.events.numbering"} <= {*shell.known["topics"]["names"]}
    assert {"emitter:selfcare", "emitter:numbering"} <= shell.known["keys"].keys()
    assert [(shell.up / name).stat().st_mode & 0o777 for name in ("environment.json", "environment.sh", "dsr")] == [
        0o600,
        0o600,
        0o700,
    ]
    assert "orders  on since" in shell.runs(".local/up/dsr downstreams list")
    assert "DSR_" not in shell.runs(".local/up/dsr request list")  # it has the address and a key
    (shell.folder / "other.toml").write_text((shell.folder / "my-downstreams.toml").read_text())
    assert "`make down` first" in shell.runs("make up DOWNSTREAMS=other.toml", status=1)


def _left_of(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Returns processes that do not end in time, without zombies."""
    _, alive = psutil.wait_procs(processes, timeout=15)
    return [each for each in alive if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]
