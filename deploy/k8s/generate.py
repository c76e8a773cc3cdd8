"""``make k8s`` begins with this: writes what of the manifests comes from the code; a test compares them.

That is the topics and users of the bus with their rights, the settings of the services, and the rules of Prometheus.
"""

import importlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import typer
import yaml
from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from deploy.local.paths import ROOT
from shared.domain import topics as names
from shared.domain.configuration import Group
from shared.domain.operations import Operation
from shared.domain.topics import TOPIC_ACCESS, ServiceName
from shared.domain.user_events import read_emitters
from shared.messaging import admin, rights
from shared.messaging.rights import Acl, Teams
from shared.systems.bus.settings import BusSettings
from shared.systems.file import read

K8S = ROOT / "deploy" / "k8s"
RULES = ROOT / "deploy" / "prometheus" / "rules"
DOWNSTREAMS = ROOT / "shared" / "policy" / "downstreams.toml"
PARTITIONS = 12
REPLICAS = 3
STATUS_READER = "dsr-status-reader"
"""The user of a service that shows people the state of their requests; its group has the same name."""
SCALER = "dsr-autoscaler"
"""The scaler's user at the broker."""
ELSEWHERE = {
    "DSR_POSTGRES_DSN": "the component or overlay that brings the database",
    "DSR_KAFKA_BOOTSTRAP": "the component or overlay that brings the broker",
    "DSR_KAFKA_USERNAME": "each service's own",
    "DSR_KAFKA_PASSWORD": "each service's own secret",
    "DSR_CONSOLE_URL": "the overlay that switches the console on",
    "DSR_PORTAL_URL": "the overlay that switches the portal on",
    "DSR_TELEMETRY_OTLP_ENDPOINT": "the component that brings the collector",
}
IN_A_CLUSTER = {
    "DSR_HTTP_HOST": "0.0.0.0",  # noqa: S104  # inside its pod
    "DSR_HTTP_PORT": "8080",
    "DSR_INTAKE_PROXIES": "1",  # the ingress
    "DSR_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
    "DSR_KAFKA_CA_FILE": "/etc/dsr/kafka-ca/ca.crt",
    "DSR_VAULT_KEYRING": "/etc/dsr/keyring/keyring.json",
    "DSR_WORK_DOWNSTREAMS": "/etc/dsr/downstreams/downstreams.toml",
}


def teams() -> dict[str, frozenset[Operation]]:
    """The systems in use that are reached over the bus, each with what its team does."""
    declared = {each.name: each.settings for each in read(DOWNSTREAMS, os.environ, "bus") if each.enabled}
    return {name: settings.worked for name, settings in declared.items() if isinstance(settings, BusSettings)}


def users(asked: Teams | None = None) -> dict[str, list[Acl]]:
    """Returns the users of the broker with their permissions; everything else is denied."""
    asked = teams() if asked is None else asked
    ours = {rights.user_of(service): list(rights.of_service(service, asked)) for service in ServiceName}
    ours[SCALER] = [Acl("topic", topic, ("Describe",)) for topic in TOPIC_ACCESS]
    ours[SCALER] += [Acl("group", service, ("Describe",)) for service in ServiceName]
    ours |= {rights.emitter_user(emitter): [rights.writes(names.user_events(emitter))] for emitter in read_emitters()}
    ours[STATUS_READER] = rights.reads(names.STATUS, STATUS_READER)
    return ours | {rights.team_user(system): list(rights.of_team(system)) for system in asked}


def topics() -> Iterator[Mapping[str, Any]]:
    """Yields every topic as an object of Strimzi's."""
    for name in admin.declared(list(teams())):
        config = {**admin.config(name), "min.insync.replicas": 2}
        partitions = names.partitions_of(name, PARTITIONS)
        yield _object("KafkaTopic", name, {"partitions": partitions, "replicas": REPLICAS, "config": config})


def kafka_users() -> Iterator[Mapping[str, Any]]:
    """Yields every user as an object of Strimzi's."""
    for name, acls in users().items():
        allowed = [
            {"resource": {"type": acl.kind, "name": acl.name, "patternType": "literal"}, "operations": acl.operations}
            for acl in dict.fromkeys(acls)
        ]
        authorization = {"type": "simple", "acls": allowed}
        yield _object("KafkaUser", name, {"authentication": {"type": "scram-sha-512"}, "authorization": authorization})


def _object(kind: str, name: str, spec: Mapping[str, Any]) -> Mapping[str, Any]:
    metadata = {"name": name, "labels": {"strimzi.io/cluster": "dsr-kafka"}}
    return {"apiVersion": "kafka.strimzi.io/v1", "kind": kind, "metadata": metadata, "spec": spec}


def environment() -> str:
    """The variables of every service; the image's own files and what another place says are left out."""
    lines = ["# Generated from the settings classes by `make k8s`; change it there, or in an overlay."]
    for name, default in variables():
        if name in ELSEWHERE or (isinstance(default, Path | SecretStr) and name not in IN_A_CLUSTER):
            continue
        value = IN_A_CLUSTER.get(name, default)
        if value is PydanticUndefined:
            raise LookupError(f"{name} has no default: say in {__name__} what it is in a cluster, or who says it")
        if value is not None:
            lines.append(f"{name}={value}")
    return "\n".join(lines) + "\n"


def variables() -> Iterator[tuple[str, Any]]:
    """Yields every variable that a settings class reads, with its default."""
    paths = [ROOT / "shared" / "storage" / "postgres.py", ROOT / "shared" / "runtime" / "settings.py"]
    for path in [*paths, *sorted(ROOT.glob("services/**/settings.py"))]:
        module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
        for group in vars(module).values():
            if isinstance(group, type) and issubclass(group, Group) and group.__module__ == module.__name__:
                for name, field in group.model_fields.items():
                    alias = field.validation_alias
                    own = f"{group.prefix}{name.upper()}"
                    yield alias if isinstance(alias, str) else own, field.default


def documents() -> dict[str, str]:
    """Returns every generated file by its path below deploy/k8s; kustomize reads none outside it."""
    return {
        "base/settings.env": environment(),
        "base/downstreams.toml": DOWNSTREAMS.read_text().partition("\n")[2],  # without the line for editors
        "components/kafka/topics.yaml": _yaml(topics()),
        "components/kafka/users.yaml": _yaml(kafka_users()),
        "components/observability/rules.yaml": _yaml([rules()]),
    }


def rules() -> Mapping[str, Any]:
    """Returns the recording and alerting rules for the Prometheus operator."""
    groups = [group for path in sorted(RULES.glob("*.yml")) for group in yaml.safe_load(path.read_text())["groups"]]
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "dsr"},
        "spec": {"groups": groups},
    }


def _yaml(objects: Iterable[Mapping[str, Any]]) -> str:
    plain = json.loads(json.dumps(list(objects)))  # without enums, which YAML would not know
    text: str = yaml.dump_all(plain, Dumper=_Blocks, sort_keys=False, width=120, allow_unicode=True)
    return f"# Generated by `make k8s`: change what deploy/k8s/generate.py reads.\n{text}"


class _Blocks(yaml.SafeDumper):
    """Writes a text of several lines as such."""


_Blocks.add_representer(
    str, lambda to, text: to.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)
)


def main() -> None:
    """Writes all of them."""
    for path, content in documents().items():
        (K8S / path).write_text(content)
        typer.echo(f"wrote deploy/k8s/{path}")


if __name__ == "__main__":
    main()
