"""The policy check of `make lint`: checkov over every overlay, as it would be applied.

Rendering takes a moment and checking takes long, so what was found good is not checked again until it changes.
"""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import typer

from deploy import k8s_tools
from deploy.local.paths import CACHE, ROOT

CONFIG = ROOT / "deploy" / "k8s" / "checkov.yaml"
OVERLAYS = sorted(path.parent for path in (ROOT / "deploy" / "k8s" / "overlays").glob("*/kustomization.yaml"))


def checkov(venv: Path, manifests: Iterable[Path], *options: str) -> "subprocess.CompletedProcess[str]":
    """What checkov says of these files; status 1 where a check fails."""
    files = [option for path in manifests for option in ("-f", str(path))]
    home = venv.parent / "home"  # it leaves a file there
    home.mkdir(exist_ok=True)
    environment = {**os.environ, "HOME": str(home), "PYTHONWARNINGS": "ignore"}
    command: list[str | Path] = [venv / "bin" / "python", venv / "bin" / "checkov", *files, *options]
    return subprocess.run(command, env=environment, check=False, capture_output=True, text=True)


def rendered(venv: Path, folder: Path) -> list[Path]:
    """A file per overlay, written into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for overlay in OVERLAYS:
        files.append(folder / f"{overlay.name}.yaml")
        files[-1].write_text(k8s_tools.kustomize(venv / "bin" / "kubectl", overlay))
    return files


def main() -> None:
    """Checks what has changed since it was found good; ends with 1 and the findings where a check fails."""
    venv = k8s_tools.installed()
    files = rendered(venv, CACHE / "k8s" / "policy")
    read = [*files, CONFIG, k8s_tools.LOCK, Path(__file__)]
    state = hashlib.sha256(b"\0".join(path.read_bytes() for path in read)).hexdigest()
    good = CACHE / "k8s" / "policy" / "good"
    if good.is_file() and good.read_text() == state:
        typer.echo("Manifests as when their policy was checked last")
        return
    said = checkov(venv, files, "--config-file", str(CONFIG))
    if said.returncode:
        sys.exit(said.stdout + said.stderr)
    good.write_text(state)
    typer.echo(f"The policy holds in {len(files)} overlays")


if __name__ == "__main__":
    main()
