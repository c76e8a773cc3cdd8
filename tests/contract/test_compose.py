"""compose.yaml is valid by the Compose specification and has in it what the code says a service needs."""

import ast
import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import yaml

from deploy.local.paths import ROOT
from deploy.local.postgres_databases import wait_for
from shared.domain.topics import ServiceName
from shared.storage import grants
from tests.fixtures.observation import DASHBOARDS, GRAFANA

COMPOSE = ROOT / "compose.yaml"
COMPOSED = yaml.safe_load(COMPOSE.read_text())
SERVICES: dict[str, Any] = COMPOSED["services"]


def check(path: str) -> int:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", path]
    return subprocess.run(command, capture_output=True, check=False).returncode


def test_the_compose_file_is_valid_by_the_specification() -> None:
    assert check(str(COMPOSE)) == 0


def test_a_misspelt_key_would_be_found(tmp_path: Any) -> None:
    (tmp_path / "compose.yaml").write_text(COMPOSE.read_text().replace("stop_grace_period", "stop_grace_perriod"))
    assert check(str(tmp_path / "compose.yaml")) != 0


def test_it_runs_every_service_and_publishes_on_this_machine_alone() -> None:
    for name in ServiceName:
        service = SERVICES[name.value]
        assert service["command"] == [name.value]
        assert service["read_only"] is True
        assert service["environment"].keys() >= {"DSR_POSTGRES_DSN", "DSR_KAFKA_BOOTSTRAP", "DSR_VAULT_KEYRING"}
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_no_secret_and_no_latest_stands_in_it_and_nothing_is_privileged() -> None:
    for name, service in SERVICES.items():
        assert re.search(r":v?\d+\.\d+|^dsr:local$", service["image"]), name
        assert not {"privileged", "network_mode", "pid", "devices"} & set(service), name
        assert service.get("environment", {}).get("POSTGRES_PASSWORD") is None
        for variable, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|TOKEN|SECRET", variable):
                assert str(value).startswith(("${", "/tokens/")) or value == "", variable


def test_everything_that_it_mounts_is_there_and_what_comes_from_here_is_mounted_to_be_read_alone() -> None:
    mounted = [volume.split(":") for service in SERVICES.values() for volume in service.get("volumes", [])]
    here = [parts for parts in mounted if parts[0].startswith(".")]
    assert len(here) >= 4
    for source, _target, *mode in here:
        assert (ROOT / source).exists(), source
        assert mode == ["ro"], source
    assert {parts[0] for parts in mounted if parts not in here} == set(COMPOSED["volumes"])


def test_whatever_runs_on_has_a_health_check() -> None:
    for name, service in SERVICES.items():
        ours = service["image"] == "dsr:local"  # whose image brings one
        assert ours or "healthcheck" in service, name
    assert "HEALTHCHECK" in (ROOT / "Dockerfile").read_text()


def test_prometheus_asks_every_service_by_its_name_with_the_token_that_it_was_given() -> None:
    (job,) = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    targets = {target for each in job["static_configs"] for target in each["targets"]}
    assert targets == {f"{name}:8080" for name in ServiceName}
    assert {each["labels"]["instance"] for each in job["static_configs"]} == set(ServiceName)
    token = job["authorization"]["credentials_file"]
    assert token == "/tokens/metrics"
    assert "tokens:/tokens:ro" in SERVICES["prometheus"]["volumes"]
    rules = ROOT / "deploy" / "prometheus" / "rules"
    assert f"./{rules.relative_to(ROOT)}:/etc/prometheus/rules:ro" in SERVICES["prometheus"]["volumes"]
    for name in ServiceName:
        shared_networks = set(SERVICES["prometheus"]["networks"]) & set(SERVICES[name]["networks"])
        assert "inside" in shared_networks


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


def test_the_first_start_is_a_program_that_python_understands() -> None:
    (program,) = SERVICES["prepare"]["command"]
    tree = ast.parse(program.replace("$$", "$"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(str(node.module))
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                assert hasattr(module, alias.name) or importlib.util.find_spec(name) is not None, name


def test_grafana_finds_dashboards_and_the_sources_that_they_ask() -> None:
    grafana = SERVICES["grafana"]
    mounts = dict(volume.split(":")[:2] for volume in grafana["volumes"])
    provisioning = GRAFANA / "provisioning"
    provider = yaml.safe_load((provisioning / "dashboards" / "dsr.yaml").read_text())["providers"][0]
    assert mounts[f"./{DASHBOARDS.relative_to(ROOT)}"] == provider["options"]["path"]
    assert mounts["./deploy/grafana/provisioning"] == "/etc/grafana/provisioning"
    text = (provisioning / "datasources" / "dsr.yaml").read_text()
    assert set(re.findall(r"\$\{(\w+)\}", text)) <= set(grafana["environment"])
    sources = yaml.safe_load(text)["datasources"]
    used = {(ref["uid"], ref["type"]) for ref in sources_of(*DASHBOARDS.glob("*.json"))}
    assert used
    assert used <= {(source["uid"], source["type"]) for source in sources}
    assert grafana["environment"]["DSR_GRAFANA_PROMETHEUS_URL"] == "http://prometheus:9090"
    assert grafana["environment"]["DSR_GRAFANA_POSTGRES_USER"] == grants.DASHBOARDS


def sources_of(*dashboards: Path) -> Iterator[dict[str, str]]:
    """Every reference to a data source, however deep."""

    def below(node: object) -> Iterator[dict[str, str]]:
        if isinstance(node, dict):
            if isinstance(node.get("datasource"), dict):
                yield node["datasource"]
            for value in node.values():
                yield from below(value)
        elif isinstance(node, list):
            for value in node:
                yield from below(value)

    for path in dashboards:
        yield from below(json.loads(path.read_text()))


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
        wait_for(dismiss(empty_database, grants.DASHBOARDS))
    assert set(made[0]) == {"keyring.json", "metrics", "grafana"}
    assert made[0] == made[1]
    assert len(set(made[0].values())) == len(made[0])


async def dismiss(dsn: str, role: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute(f"DROP OWNED BY {role}")
    await connection.execute(f"DROP ROLE {role}")
    await connection.close()
