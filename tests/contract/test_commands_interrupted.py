"""Ctrl-C ends a command quietly with 130, from its first import on; the script finds the product wherever it lies."""

import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from deploy.local.paths import ROOT
from services import cli


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
    hears = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # as what a shell runs in the background does not
    words: list[str | Path] = [dsr, "request", "list"]
    done = subprocess.run(words, env=path, capture_output=True, text=True, check=False, preexec_fn=hears)
    assert (done.returncode, done.stderr) == (130, "")


def test_an_interrupt_while_a_class_is_made_is_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise RuntimeError("Error calling __set_name__") from KeyboardInterrupt()

    monkeypatch.setattr(cli, "app", interrupted)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 130


def test_the_script_finds_the_product_beside_its_environment_also_below_a_path_with_a_space(tmp_path: Path) -> None:
    product = tmp_path / "a product"
    bin_folder = product_in(product)
    complete = {"_DSR_COMPLETE": "complete_bash", "COMP_WORDS": "dsr ev", "COMP_CWORD": "1", "PATH": "/usr/bin:/bin"}
    for script in (bin_folder / "dsr", Path("a product/.venv/bin/dsr")):
        done = subprocess.run([script], cwd=tmp_path, env=complete, capture_output=True, text=True, check=True)
        assert done.stdout.split() == ["evidence"]
