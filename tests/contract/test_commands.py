"""The command ``dsr``: complete in itself, quick to start, and one line where something is wrong."""

import inspect
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from deploy.local.paths import ROOT
from services.cli import main
from shared.app.health_check import health
from shared.domain.errors import Unavailable

SETTING = re.compile(r"(?:(DSR_\S+) )?(.*)")
OF_A_SERVICE = ("POSTGRES_DSN", "KAFKA_BOOTSTRAP", "HTTP_PORT", "VAULT_KEYRING", "WORK_DOWNSTREAMS")
COMMANDS: Any = typer.main.get_command(main.app)


@pytest.fixture(autouse=True)
def _collecting(monkeypatch: pytest.MonkeyPatch) -> None:
    """`dsr run` lets nothing be collected at first; tests after it go on with what it leaves."""
    monkeypatch.setattr("gc.disable", lambda: None)


def words() -> Iterator[str]:
    """Yields every command with its words: ``key new``."""
    for name in COMMANDS.list_commands(None):
        command = COMMANDS.get_command(None, name)
        yield from (f"{name} {sub}" for sub in command.commands) if hasattr(command, "commands") else (name,)


def test_the_list_of_commands_says_of_each_what_its_own_help_says() -> None:
    helps = {name: inspect.cleandoc(COMMANDS.get_command(None, name).help) for name in main.COMMANDS}
    assert {name: each.split("\n\n")[0].replace("\n", " ") for name, each in helps.items()} == main.LINES


@pytest.mark.parametrize("command", list(words()))
def test_every_command_explains_itself(command: str) -> None:
    result = CliRunner().invoke(main.app, [*command.split(), "--help"])
    assert result.exit_code == 0
    assert f"Usage: dsr {command}" in re.sub(r"\s+", " ", result.output).replace("root", "dsr")


@pytest.mark.parametrize(
    ("command", "status", "said"),
    [
        (
            "run erasure",
            1,
            "dsr-erasure cannot start; " + ".*; ".join(f"DSR_{name} is not set: set it to" for name in OF_A_SERVICE),
        ),
        ("migrate", 1, "dsr: DSR_POSTGRES_DSN is not set: set it to a value (postgresql:// URL of"),
        ("evidence verify", 1, "dsr: DSR_POSTGRES_DSN is not set"),
        ("api-key new --role privacy --holder officer-7", 1, "dsr: DSR_POSTGRES_DSN is not set"),
        ("redate", 1, "dsr: DSR_VAULT_KEYRING is not set: .*; DSR_POSTGRES_DSN is not set"),
        ("groups lag", 1, "dsr: DSR_KAFKA_BOOTSTRAP is not set: set it to a value (host:port of one or more brokers"),
        ("health", 1, "dsr: DSR_HTTP_PORT is not set to a port: set it to that of the service"),
        ("DSR_HTTP_PORT=http health", 1, "dsr: DSR_HTTP_PORT is not set to a port: set it to that of the service"),
        ("DSR_HTTP_PORT=1 health", 1, "dsr: no service answers at port 1: start it, or correct DSR_HTTP_PORT"),
        ("DSR_POSTGRES_DSN=postgresql://127.0.0.1:1/dsr migrate", 1, "start the database, or correct DSR_POSTGRES_DSN"),
        ("DSR_HTTP_PORT=70000 health", 1, "dsr: DSR_HTTP_PORT is not set to a port: set it to that of the service"),
        ("DSR_POSTGRES_DSN=dsr migrate", 1, "dsr: DSR_POSTGRES_DSN holds something else, which is not shown: set it"),
        ("DSR_KAFKA_BOOTSTRAP=127.0.0.1:1 groups lag", 1, "start the broker, or correct DSR_KAFKA_BOOTSTRAP"),
        ("key new pyproject.toml", 1, "dsr: pyproject.toml: File exists: name another file"),
        ("key new docs", 1, "dsr: docs: File exists: name another file"),
        ("key new none/ring.json", 1, "dsr: none/ring.json: No such file or directory: check the path"),
        ("key rotate none.json", 1, "dsr: no keyring at none.json: make one with `dsr key new none.json`"),
        ("key rotate docs", 1, "dsr: the keyring at docs cannot be read (Is a directory): name another file"),
        ("downstreams check docs", 1, "dsr: docs is a folder; point DSR_WORK_DOWNSTREAMS at a file"),
        (
            "downstreams prepare shared/policy/downstreams.toml",
            1,
            "takes its value from DSR_CRM_URL, which is not set; export DSR_CRM_URL",
        ),
        ("certificate verify docs", 1, "dsr: docs: Is a directory: name a file in it"),
        ("groups rewind 2026-03-02", 2, "a moment needs its zone: 2026-03-02T09:00:00+00:00"),
        ("api-key new --role privacy", 2, "Missing option '--holder'. (see `dsr api-key new --help`)"),
        (
            "api-key new --role privacy --holder Ada@Quarzfels.example",
            2,
            "dsr: Invalid value: --holder must be the id of an account, as officer-7: small letters, digits, . _ -",
        ),
        ("key", 2, "dsr: Missing command. (see `dsr key --help`)"),
        (
            "request list",
            1,
            "dsr: DSR_API_URL is not set: set it to a value (base URL of intake, as https://dsr.example",
        ),
        ("DSR_API_URL=dsr.example request list", 1, "DSR_API_URL holds something else, which is not shown: set it"),
        ("DSR_API_URL=http://192.0.2.2:8000 request list", 1, "as https://dsr.example; http to this machine alone"),
        ("DSR_API_URL=http://127.0.0.1.example:80 request list", 1, "http to this machine alone"),
        ("DSR_API_URL=http://me:secret@localhost request list", 1, "holds something else, which is not shown"),
        ("DSR_API_URL=http://127.0.0.1:1 request list", 1, "neither DSR_API_KEY nor DSR_API_KEY_FILE is set: set one"),
        ("request follow 7", 2, "(see `dsr request follow --help`)"),
        ("run everything", 2, "(see `dsr run --help`)"),
    ],
)
def test_what_is_wrong_and_what_to_do_about_it_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, status: int, said: str
) -> None:
    monkeypatch.chdir(ROOT)
    setting, words = SETTING.fullmatch(command).groups()  # type: ignore[union-attr]  # it matches anything
    if setting:
        monkeypatch.setenv(*setting.split("="))
    monkeypatch.setattr(sys, "argv", ["dsr", *words.split()])
    monkeypatch.delitem(sys.modules, "services.erasure.__main__", raising=False)  # another test may have imported it
    with pytest.raises(SystemExit) as ended:
        main.main()
    message = ended.value.code if status == 1 else capsys.readouterr().err
    assert ended.value.code == (message if status == 1 else status)
    assert re.search(re.escape(said).replace(r"\.\*", ".*"), str(message))
    assert str(message).strip().count("\n") == 0


OFFLINE = {
    *("certificate verify", "downstreams check", "downstreams prepare", "downstreams topics", "key new", "key rotate"),
    *("conformance", "dataset diff", "dataset draft", "letters preview"),
    *("policy check", "request example"),
}
"""Commands that work on files alone, or on what their arguments name."""


MADE_UP = {
    "role": "privacy",
    "holder": "officer-7",
    "service": "erasure",
    "file": "numbers.csv",
    "request_id": "01a21dbf-28e5-7733-8a89-3cbe1b3db3a3",
    "incident_id": "01a21dbf-28e5-7733-8a89-3cbe1b3db3a3",
    "letter_id": "01a21dbf-28e5-7733-8a89-3cbe1b3db3a3",
    "letter_ids": "01a21dbf-28e5-7733-8a89-3cbe1b3db3a3",
    "restored_to": "2026-03-02T09:00:00+00:00",
    "moment": "2026-03-02T09:00:00+00:00",
}


def arguments(command: str) -> list[str]:
    """Something for each argument and option that a command demands."""
    group, _, sub = command.partition(" ")
    found = COMMANDS.get_command(None, group)
    needed = [each for each in (found.commands[sub] if sub else found).params if each.required]
    values = [(each, MADE_UP.get(each.name, "customers")) for each in needed]
    return [word for each, value in values for word in (each.opts[0], value) if word.startswith("-") or word == value]


@pytest.mark.parametrize("command", sorted({*words()} - OFFLINE))
def test_a_command_without_settings_names_the_variable_that_it_needs_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, command: str
) -> None:
    (tmp_path / MADE_UP["file"]).write_text("number,account_id,valid_from,valid_to,line\n")
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("DSR_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(sys, "argv", ["dsr", *command.split(), *arguments(command)])
    for name in [name for name in sys.modules if re.fullmatch(r"services\.\w+\.__main__", name)]:
        monkeypatch.delitem(sys.modules, name)  # another test may have imported it
    with pytest.raises(SystemExit) as ended:
        main.main()
    message = str(ended.value.code)
    assert re.search(r"DSR_\w+", message), message + capsys.readouterr().err
    assert message.strip().count("\n") == 0


@pytest.mark.parametrize("command", [each for each in words() if each.split()[0] in {"request", "letters"}])
def test_no_command_of_the_privacy_team_takes_a_key_or_a_person_as_an_argument(command: str) -> None:
    group, _, sub = command.partition(" ")
    taken = {each.name for each in COMMANDS.get_command(None, group).commands[sub].params}
    assert taken & {"key", "api_key", "token", "password", "email", "phone", "name", "account_id", "subject"} == set()


def test_unhealthy_service_is_shown_with_its_stalled_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ill(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(503)
            self.end_headers()
            self.wfile.write(b'{"loops_standing_still": ["relay"]}')

    with HTTPServer(("127.0.0.1", 0), Ill) as server:
        answering = threading.Thread(target=server.handle_request)
        answering.start()
        monkeypatch.setenv("DSR_HTTP_PORT", str(server.server_port))
        with pytest.raises(Unavailable, match=r'restart it: {"loops_standing_still": \["relay"\]}'):
            health()
        answering.join()


def test_check_names_fields_never_shown_and_unsearched_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSR_STORE_DSN", "postgresql://store")
    columns = (
        'columns = { id = { class = "T" }, who = { class = "A", identity = "email" },'
        ' peer = { class = "B" }, said = { class = "C" } }'
    )
    (tmp_path / "chats.toml").write_text(
        f'name = "chats"\n[tables.chat]\ncategory = "chat"\nprimary_key = ["id"]\n{columns}\n'
    )
    file = tmp_path / "downstreams.toml"
    file.write_text('[store]\nadapter = "sql"\ndsn_env = "DSR_STORE_DSN"\ndataset = "chats.toml"\nneeds = ["email"]\n')
    done = CliRunner().invoke(main.app, ["downstreams", "check", str(file), "--file-only", "--text"])
    assert "never shown, since no party is declared: chat.peer" in done.stdout
    assert "free text is not searched, an officer looks: chat.said" in done.stdout


def test_a_check_names_whose_marketing_no_night_compares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUBSPOT_TOKEN", "x")
    monkeypatch.setenv("STRIPE_KEY", "x")
    file = tmp_path / "downstreams.toml"
    team = 'adapter = "bus"\nneeds = ["email"]\n'
    http = 'adapter = "http"\nurl = "https://example.org"\nneeds = ["email"]\ndeclaration ='
    asks, none = "asks_before_marketing = true\n", 'not_held = ["suppress"]\n'
    file.write_text(
        f'[a]\n{team}[b]\n{team}{asks}[c]\n{team}{none}[d]\n{http} "hubspot"\n[e]\n{http} "stripe"\n', encoding="utf-8"
    )
    done = CliRunner().invoke(main.app, ["downstreams", "check", str(file), "--file-only", "--json"])
    said = json.loads(done.stdout)["systems"]
    named = {name: each["not_compared"] for name, each in said.items() if "not_compared" in each}
    assert named == {"a": ["a"], "e": ["customer"]}
    assert said["b"]["asks_before_marketing"] == ["b"]
    shown = CliRunner().invoke(main.app, ["downstreams", "check", str(file), "--file-only", "--text"]).stdout
    assert "not compared with the suppression list: customer" in shown


def test_with_json_a_command_says_the_same_to_a_program(tmp_path: Path) -> None:
    def output(*words: str | Path) -> Any:
        return json.loads(CliRunner().invoke(main.app, [*map(str, words), "--json"]).stdout)

    ring, nothing = tmp_path / "keyring.json", tmp_path / "certificate.json"
    CliRunner().invoke(main.app, ["key", "new", str(ring)])
    nothing.write_text("{}")
    (tmp_path / "downstreams.toml").write_text('[billing]\nadapter = "bus"\nneeds = ["email"]\n')
    assert output("key", "rotate", ring) == {"active": "k2"}
    assert output("certificate", "verify", nothing)["holds"] is False
    assert output("policy", "check")["usable"] is True
    assert output("downstreams", "prepare", tmp_path / "downstreams.toml") == {}
    assert output("downstreams", "check", tmp_path / "downstreams.toml") == {
        "systems": {
            "billing": {
                "adapter": "bus",
                "enabled": True,
                "faults": [],
                "by_person": [],
                "not_set": [],
                "looked_at": False,
                "needs": ["email"],
                "operations": ["erase"],
                "by_hand": ["export", "rectify", "restrict", "lift", "suppress"],
                "unknown_categories": [],
                "not_compared": ["billing"],
            }
        },
        "erasure": [["erase billing"]],
    }


def test_teams_broker_rights_are_shown_without_other_systems(tmp_path: Path) -> None:
    file = tmp_path / "downstreams.toml"
    other = '[mailing]\nadapter = "opendsr"\nurl = "${NOT_SET}"\nneeds = ["email"]\n'
    file.write_text(other + '[billing]\nadapter = "bus"\nneeds = ["email"]\n')
    shown = json.loads(CliRunner().invoke(main.app, ["downstreams", "topics", str(file), "--json"]).stdout)
    assert [each["name"] for each in shown["billing"]["topics"]] == ["dsr.tasks.billing", "dsr.tasks.billing.replies"]
    assert (shown["billing"]["group"], shown["billing"]["user"]) == ("team-billing", "dsr-team-billing")
    assert {each["user"] for each in shown["billing"]["rights"]} == {"dsr-team-billing", "dsr-erasure"}
    lines = CliRunner().invoke(main.app, ["downstreams", "topics", str(file)]).stdout
    assert "right dsr-team-billing: Write, Describe on topic dsr.tasks.billing.replies" in lines


def test_a_service_starts_without_what_belongs_to_the_others() -> None:
    loaded = "import sys, services.cli; print(*sorted({'asyncpg', 'aiokafka', 'fastapi', 'httpx'} & {*sys.modules}))"
    done = subprocess.run([sys.executable, "-c", loaded], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


# Ctrl-C ends a command quietly with 130, from its first import on; the script finds the product wherever it lies.
def product_in(folder: Path) -> Path:
    """The folder of the command in a product that stands in that folder."""
    bin_folder = folder / ".venv" / "bin"
    bin_folder.mkdir(parents=True)
    for package in ("shared", "services"):
        (folder / package).symlink_to(ROOT / package)
    (bin_folder / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (bin_folder / "dsr").write_text((ROOT / "services" / "dsr").read_text())
    for program in bin_folder.iterdir():
        program.chmod(0o755)
    return bin_folder


@pytest.mark.parametrize("module", ["sitecustomize", "typer", "httpx"])
def test_ctrl_c_among_the_imports_ends_the_command_quietly_with_130(tmp_path: Path, module: str) -> None:
    dsr = product_in(tmp_path) / "dsr"
    pressed = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nsignal.sigtimedwait([], 10)\n"
    (tmp_path / f"{module}.py").write_text(pressed)
    path = {"PATH": "/usr/bin:/bin"}
    reset = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # as what a shell runs in the background does not
    words: list[str | Path] = [dsr, "request", "list"]
    done = subprocess.run(words, env=path, capture_output=True, text=True, check=False, preexec_fn=reset)
    assert (done.returncode, done.stderr) == (130, "")


def test_an_interrupt_while_a_class_is_made_is_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise RuntimeError("Error calling __set_name__") from KeyboardInterrupt()

    monkeypatch.setattr(main, "app", interrupted)
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 130


def test_script_finds_the_product_next_to_its_environment_below_a_path_with_a_space(tmp_path: Path) -> None:
    product = tmp_path / "a product"
    bin_folder = product_in(product)
    complete = {"_DSR_COMPLETE": "complete_bash", "COMP_WORDS": "dsr ev", "COMP_CWORD": "1", "PATH": "/usr/bin:/bin"}
    for script in (bin_folder / "dsr", Path("a product/.venv/bin/dsr")):
        done = subprocess.run([script], cwd=tmp_path, env=complete, capture_output=True, text=True, check=True)
        assert done.stdout.split() == ["evidence"]


# What a check says of columns that are shown without a word of what they mean.
def test_check_names_columns_without_explanation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSR_STORE_DSN", "postgresql://store")
    columns = {
        "id": 'class = "T"',
        "mail": 'class = "A", identity = "email", label = "email"',
        "said": 'class = "C", explain = "what you have written"',
        "seconds": 'class = "M"',
        "peer": 'class = "B"',
    }
    declared = ", ".join(f"{name} = {{ {each} }}" for name, each in columns.items())
    (tmp_path / "chats.toml").write_text(
        f'name = "chats"\n[tables.chat]\ncategory = "chat"\nprimary_key = ["id"]\ncolumns = {{ {declared} }}\n'
    )
    file = tmp_path / "downstreams.toml"
    file.write_text('[store]\nadapter = "sql"\ndsn_env = "DSR_STORE_DSN"\ndataset = "chats.toml"\nneeds = ["email"]\n')
    done = CliRunner().invoke(main.app, ["downstreams", "check", str(file), "--file-only", "--json"])
    assert json.loads(done.stdout)["systems"]["store"]["unexplained"] == ["chat.seconds"]
