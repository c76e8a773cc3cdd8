"""``make k8s`` ends with this: renders every overlay into .local/k8s and checks it by schema and by policy."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import typer
import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from deploy.k8s.schemas import K8S, Schemas, prepare
from deploy.local.paths import LOCAL
from deploy.local.venv import locked_venv

OVERLAYS = sorted(path.parent.name for path in K8S.glob("overlays/*/kustomization.yaml"))
CHECKOV = K8S / "checkov.yaml"
RENDERED = LOCAL / "k8s"
Object = Mapping[str, Any]


def programs() -> Path:
    """The folder of the programs that deploy/k8s/tools.lock names; they are installed the first time."""
    return locked_venv("k8s", K8S / "tools.lock")


def kustomize(overlay: Path) -> str:
    """The objects of an overlay as YAML, as `kubectl apply -k` would send them."""
    command: list[str | Path] = [programs() / "kubectl", "kustomize", overlay]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout


def rendered(folder: Path) -> list[Path]:
    """Renders every overlay into a file of the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{overlay}.yaml" for overlay in OVERLAYS]
    for file in files:
        file.write_text(kustomize(K8S / "overlays" / file.stem))
    return files


def faults(objects: Iterable[Object], schemas: Schemas) -> Iterator[str]:
    """Finds what a strict API server would refuse: unknown fields, wrong types, kinds without a schema."""
    definitions = json.loads((schemas.core / "_definitions.json").read_text())
    registry: Registry[Any] = Registry().with_resource(
        "_definitions.json", Resource.from_contents(definitions, default_specification=DRAFT202012)
    )
    for each in objects:
        schema = schemas.of(each)
        if schema is None:
            yield f"{named(each)}: no schema for {each['apiVersion']}/{each['kind']}"
            continue
        for found in Draft202012Validator(schema, registry=registry).iter_errors(each):
            error = best_match([found]) or found  # of "none of these alternatives": why not the likeliest
            yield f"{named(each)}: {'.'.join(map(str, error.absolute_path))}: {error.message[:300]}"


def named(each: Object) -> str:
    """An object as people call it."""
    return f"{each['kind']}/{each['metadata']['name']}"


def checkov(manifests: Iterable[Path], *options: str) -> "subprocess.CompletedProcess[str]":
    """Prints what checkov finds in these files; exits 1 if a check fails."""
    files = [option for path in manifests for option in ("-f", str(path))]
    home = RENDERED / "home"  # it leaves a file there
    home.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "HOME": str(home), "PYTHONWARNINGS": "ignore", "PYTHONPYCACHEPREFIX": ""}
    command: list[str | Path] = [programs() / "python", programs() / "checkov", *files, *options]
    return subprocess.run(command, env=environment, check=False, capture_output=True, text=True)


def main() -> None:
    """Renders and checks; the status says whether all is well."""
    schemas = prepare(programs())
    wrong = []
    files = rendered(RENDERED)
    for file in files:
        objects = [each for each in yaml.safe_load_all(file.read_text()) if each]
        wrong += [f"{file.stem}: {fault}" for fault in faults(objects, schemas)]
        typer.echo(f"rendered {len(objects)} objects into .local/k8s/{file.name}")
    said = checkov(files, "--config-file", str(CHECKOV))
    wrong += [said.stdout + said.stderr] if said.returncode else []
    sys.exit("\n".join(wrong) or None)


if __name__ == "__main__":
    main()
