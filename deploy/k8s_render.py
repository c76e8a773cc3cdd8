"""``make k8s``: write what is generated, render every overlay into .local/k8s, and check each object strictly."""

import json
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

from deploy import k8s_documents
from deploy.k8s_documents import K8S
from deploy.k8s_schemas import Tools, prepare
from deploy.k8s_tools import kustomize
from deploy.local.paths import LOCAL

OVERLAYS = sorted(path.parent.name for path in (K8S / "overlays").glob("*/kustomization.yaml"))
Object = Mapping[str, Any]


def render(overlay: str, tools: Tools) -> list[Object]:
    """The objects of an overlay, which also stand in .local/k8s then."""
    text = kustomize(tools.kubectl, K8S / "overlays" / overlay)
    rendered = LOCAL / "k8s" / f"{overlay}.yaml"
    rendered.parent.mkdir(parents=True, exist_ok=True)
    rendered.write_text(text)
    return [each for each in yaml.safe_load_all(text) if each]


def faults(objects: Iterable[Object], tools: Tools) -> Iterator[str]:
    """What a strict API server would refuse: unknown fields, wrong types, kinds without a schema."""
    definitions = json.loads((tools.core / "_definitions.json").read_text())
    registry: Registry[Any] = Registry().with_resource(
        "_definitions.json", Resource.from_contents(definitions, default_specification=DRAFT202012)
    )
    for each in objects:
        schema = _schema(each, tools)
        if schema is None:
            yield f"{named(each)}: no schema for {each['apiVersion']}/{each['kind']}"
            continue
        for found in Draft202012Validator(schema, registry=registry).iter_errors(each):
            error = best_match([found]) or found  # of "none of these alternatives": why not the likeliest
            yield f"{named(each)}: {'.'.join(map(str, error.absolute_path))}: {error.message[:300]}"


def named(each: Object) -> str:
    """An object as people call it."""
    return f"{each['kind']}/{each['metadata']['name']}"


def _schema(each: Object, tools: Tools) -> Any:
    group, _, version = each["apiVersion"].rpartition("/")
    custom = tools.custom.get(f"{each['apiVersion']}/{each['kind']}")
    if custom is not None:
        return custom
    prefix = f"{group.partition('.')[0]}-" if group else ""
    path = tools.core / f"{each['kind'].lower()}-{prefix}{version}.json"
    return json.loads(path.read_text()) if path.is_file() else None


def main() -> None:
    """Writes, renders and checks; the status says whether all is well."""
    k8s_documents.main()
    tools = prepare()
    wrong = []
    for overlay in OVERLAYS:
        objects = render(overlay, tools)
        wrong += [f"{overlay}: {fault}" for fault in faults(objects, tools)]
        typer.echo(f"rendered {len(objects)} objects into {Path('.local', 'k8s', overlay)}.yaml")
    sys.exit("\n".join(wrong) or None)


if __name__ == "__main__":
    main()
