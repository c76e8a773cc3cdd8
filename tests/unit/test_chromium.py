"""The demo and the browser tests find Chromium however it came to the machine."""

from pathlib import Path

import pytest

from deploy.local import chromium
from deploy.local.chromium import Chromium


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    path.chmod(0o755)
    return path


def test_installed_chromium_wins_over_an_empty_unpacked_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = program(tmp_path / "bin" / "chromium")
    monkeypatch.setenv("PATH", str(installed.parent))
    monkeypatch.setattr(chromium, "UNPACKED", tmp_path / "unpacked")
    (tmp_path / "unpacked").mkdir()

    assert Chromium.found() == Chromium(installed, {})


def test_empty_unpacked_folder_is_no_chromium(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(chromium, "UNPACKED", tmp_path)

    assert Chromium.found() is None


def test_unpacked_chromium_needs_no_library_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unpacked = program(tmp_path / "usr" / "lib" / "chromium" / "chromium")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(chromium, "UNPACKED", tmp_path)

    found = Chromium.found()

    assert found == Chromium(unpacked, {"LD_LIBRARY_PATH": str(unpacked.parent)})
