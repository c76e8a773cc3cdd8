"""compose.yaml is valid by the Compose specification and has in it what the code says a service needs."""

import subprocess
import sys
from typing import Any

import yaml

from deploy.local.paths import ROOT
from shared.bus.topics import ServiceName

COMPOSE = ROOT / "compose.yaml"


def check(path: str) -> int:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", path]
    return subprocess.run(command, capture_output=True, check=False).returncode


def test_the_compose_file_is_valid_by_the_specification() -> None:
    assert check(str(COMPOSE)) == 0


def test_a_misspelt_key_would_be_found(tmp_path: Any) -> None:
    (tmp_path / "compose.yaml").write_text(COMPOSE.read_text().replace("stop_grace_period", "stop_grace_perriod"))
    assert check(str(tmp_path / "compose.yaml")) != 0


def test_it_runs_every_service_and_publishes_on_this_machine_alone() -> None:
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    for name in ServiceName:
        service = services[name.value]
        assert service["command"] == [name.value]
        assert service["read_only"] is True
        assert service["environment"].keys() >= {"DSR_POSTGRES_DSN", "DSR_KAFKA_BOOTSTRAP", "DSR_VAULT_KEYRING"}
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)
