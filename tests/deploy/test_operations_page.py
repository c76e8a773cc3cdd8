"""docs/operations.md: what it says of the cluster is true of the manifests."""

import os
import re
import shlex
from pathlib import Path

import pytest
import yaml

from deploy.k8s.check import Object, faults, kustomize
from deploy.k8s.schemas import K8S, Schemas
from deploy.local.paths import ROOT
from tests.fixtures.manifests import of, one, secret_names

PAGE = (ROOT / "docs" / "operations.md").read_text()
KUBECTL = [
    shlex.split(line)
    for block in re.findall(r"^```sh\n(.+?)^```", PAGE, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]


def test_every_object_that_a_kubectl_line_names_is_in_the_manifests(production: list[Object]) -> None:
    kinds: dict[str, set[str]] = {}
    for each in production:
        kinds.setdefault(each["kind"].lower(), set()).add(each["metadata"]["name"])
    kinds["secret"] = {name for each in production for name in secret_names(each)} | kinds["kafkauser"]
    brokers = {f"dsr-kafka-{pool}-0" for pool in kinds["kafkanodepool"]}
    checked = 0
    for line in KUBECTL:
        assert line[0] == "kubectl"
        if line[1:3] == ["apply", "-k"]:
            assert (ROOT / line[3] / "kustomization.yaml").is_file()
        kind = next((word for word in line if word in kinds), None)
        for word in line:
            if re.fullmatch(r"dsr-[a-z0-9-]+", word):
                assert word in (kinds[kind] if kind else brokers), f"{kind}: {word}"
                checked += 1
    assert checked >= 15
    for name in re.findall(r"kubectl cnpg \w+ ([\w-]+)", PAGE):
        assert name in kinds["cluster"]


def test_the_patch_that_restores_the_cluster_is_valid_to_the_letter(schemas: Schemas, run_folder: Path) -> None:
    (kind, patch) = re.findall(r"^```yaml patch=(\w+)\n(.+?)^```", PAGE, re.MULTILINE | re.DOTALL)[0]
    overlay = run_folder / "restored"
    overlay.mkdir()
    kustomization = {
        "resources": [os.path.relpath(K8S / "overlays" / "production", overlay)],
        "patches": [{"target": {"kind": kind, "name": "dsr-postgres"}, "patch": patch}],
    }
    (overlay / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    objects = list(yaml.safe_load_all(kustomize(overlay)))
    assert list(faults(objects, schemas)) == []
    spec = one(objects, "Cluster", "dsr-postgres")["spec"]
    (before,) = spec["externalClusters"]
    assert spec["bootstrap"]["recovery"]["source"] == before["name"]
    stored = spec["backup"]["barmanObjectStore"]
    assert before["barmanObjectStore"]["destinationPath"] == stored["destinationPath"]
    assert before["barmanObjectStore"]["serverName"] != stored["serverName"]


def test_the_arithmetic_of_the_sizing_table_is_right(production: list[Object]) -> None:
    rows = re.findall(r"^\| ([\d,]+) \| ([\d.]+) \| ([\d.]+) \| ([\d, ]+) \| (\d+) \| (\d+) \|", PAGE, re.MULTILINE)
    assert [row[0] for row in rows] == ["1", "100", "10,000"]
    milliseconds = round(2 / 141 * 1000, 1)
    assert f"2 cores / 141 = {milliseconds} ms" in PAGE
    for a_minute, peak, cores, instances, connections, partitions in rows:
        a_second = int(a_minute.replace(",", "")) / 60 * 3
        assert float(peak) == pytest.approx(a_second)
        needed = a_second * 0.0142 / 0.6
        assert float(cores) == pytest.approx(needed, abs=0.06)
        counts = [int(count) for count in instances.split(",")]
        assert max(counts) >= needed
        assert max(counts) <= int(partitions)
        assert int(connections) == 8 * sum(counts)
    bounds = [each["spec"]["maxReplicaCount"] for each in of(production, "ScaledObject")]
    assert f"= {sum(bounds)} instances: {8 * sum(bounds)} connections" in PAGE
    pooler = one(production, "Pooler", "dsr-postgres-pooler")["spec"]
    visits = pooler["instances"] * int(pooler["pgbouncer"]["parameters"]["default_pool_size"]) + 1
    limit = int(one(production, "Cluster", "dsr-postgres")["spec"]["postgresql"]["parameters"]["max_connections"])
    assert (
        f"with pooler and migration {8 * sum(bounds) + visits}, below the cluster's `max_connections` of {limit}"
        in PAGE
    )
