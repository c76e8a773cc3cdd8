"""The variables of every service, from the settings classes."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from deploy.local.paths import ROOT

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
    """Every variable that a settings class reads, with its default."""
    paths = [ROOT / "shared" / "storage" / "postgres.py", ROOT / "shared" / "runtime" / "settings.py"]
    for path in [*paths, *sorted(ROOT.glob("services/**/settings.py"))]:
        module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
        for group in vars(module).values():
            if isinstance(group, type) and issubclass(group, BaseSettings) and group.__module__ == module.__name__:
                for name, field in group.model_fields.items():
                    alias = field.validation_alias
                    own = f"{group.model_config['env_prefix']}{name.upper()}"
                    yield alias if isinstance(alias, str) else own, field.default
