"""compose.yaml is valid by the Compose specification and has in it what the code says a service needs."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from deploy.local import postgres_databases as databases
from deploy.local.paths import ROOT
from deploy.local.postgres_databases import wait_for
from shared.domain.topics import ServiceName
from shared.storage import grants
from tests.fixtures.observation import DASHBOARDS, GRAFANA

COMPOSE = ROOT / "compose.yaml"
COMPOSED = yaml.safe_load(COMPOSE.read_text())
SERVICES: dict[str, Any] = COMPOSED["services"]


def test_the_compose_file_is_valid_by_the_specification() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_it_runs_every_service_and_publishes_on_this_machine_alone() -> None:
    for name in ServiceName:
        service = SERVICES[name.value]
        assert service["command"] == [name.value]
        assert service["read_only"] is True
        assert service["environment"].keys() >= {"DSR_POSTGRES_DSN", "DSR_KAFKA_BOOTSTRAP", "DSR_VAULT_KEYRING"}
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_everything_that_it_mounts_is_there_and_what_comes_from_here_is_mounted_to_be_read_alone() -> None:
    mounted = [volume.split(":") for service in SERVICES.values() for volume in service.get("volumes", [])]
    here = [parts for parts in mounted if parts[0].startswith(".")]
    assert len(here) >= 4
    for source, _target, *mode in here:
        assert (ROOT / source).exists(), source
        assert mode == ["ro"], source
    assert {parts[0] for parts in mounted if parts not in here} == set(COMPOSED["volumes"])


def test_prometheus_asks_every_service_by_its_name_with_the_token_that_it_was_given() -> None:
    (job,) = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    targets = {target for each in job["static_configs"] for target in each["targets"]}
    assert targets == {f"{name}:8080" for name in ServiceName}
    assert {each["labels"]["instance"] for each in job["static_configs"]} == set(ServiceName)
    assert job["authorization"]["credentials_file"] == "/tokens/metrics"
    assert {"tokens:/tokens:ro", "./deploy/prometheus/rules:/etc/prometheus/rules:ro"} <= {
        *SERVICES["prometheus"]["volumes"]
    }
    assert all("inside" in SERVICES[name]["networks"] for name in ("prometheus", *ServiceName))


def test_a_service_takes_the_token_from_its_file_and_its_name_from_the_command(tmp_path: Path) -> None:
    """As the container would run it, with a command that says how it was called."""
    (tmp_path / "metrics").write_text("a token")
    fake = tmp_path / "dsr"
    fake.write_text('#!/bin/sh\necho "$DSR_TELEMETRY_PRIVACY_TOKEN|$*"\n')
    fake.chmod(0o755)
    service = SERVICES["deadline"]
    entrypoint = [word.replace("$$", "$").replace("/tokens", str(tmp_path)) for word in service["entrypoint"]]
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run(
        [*entrypoint, *service["command"]], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "a token|run deadline"


def test_grafana_finds_the_dashboards_and_is_told_where_its_sources_are() -> None:
    grafana = SERVICES["grafana"]
    mounts = dict(volume.split(":")[:2] for volume in grafana["volumes"])
    provider = yaml.safe_load((GRAFANA / "provisioning" / "dashboards" / "dsr.yaml").read_text())["providers"][0]
    assert mounts[f"./{DASHBOARDS.relative_to(ROOT)}"] == provider["options"]["path"]
    assert mounts["./deploy/grafana/provisioning"] == "/etc/grafana/provisioning"
    sources = (GRAFANA / "provisioning" / "datasources" / "dsr.yaml").read_text()
    assert set(re.findall(r"\$\{(\w+)\}", sources)) <= set(grafana["environment"])
    assert grafana["environment"]["DSR_GRAFANA_POSTGRES_USER"] == grants.DASHBOARDS


def test_the_first_start_makes_what_all_others_need_and_a_second_one_changes_nothing(
    tmp_path: Path, empty_database: str, kafka_bootstrap: str
) -> None:
    (program,) = SERVICES["prepare"]["command"]
    for volume in ("/secrets", "/tokens"):
        program = program.replace(f'"{volume}', f'"{tmp_path}{volume}')
        (tmp_path / volume[1:]).mkdir()
    program = program.replace("$$", "$").replace("os.chown(", "(lambda *_: None)(")  # only root gives a file away
    environment = {**os.environ, "DSR_POSTGRES_DSN": empty_database, "DSR_KAFKA_BOOTSTRAP": kafka_bootstrap}
    made = []
    try:
        for _ in range(2):
            subprocess.run([sys.executable, "-c", program], env=environment, cwd=ROOT, check=True)
            made.append({path.name: path.read_text() for path in tmp_path.glob("*/*")})
    finally:
        for statement in ("DROP OWNED BY", "DROP ROLE"):
            wait_for(databases.fetch(empty_database, f"{statement} {grants.DASHBOARDS}"))
    assert set(made[0]) == {"keyring.json", "metrics", "grafana"}
    assert made[0] == made[1]
    assert len(set(made[0].values())) == len(made[0])
