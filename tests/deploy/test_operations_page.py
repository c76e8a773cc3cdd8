"""Checks the `kubectl` lines and the patch of the pages against the manifests."""

import os
import re
import shlex
from pathlib import Path

import yaml

from deploy.k8s.check import Object, faults, kustomize
from deploy.k8s.schemas import K8S, Schemas
from deploy.local.paths import ROOT
from tests.fixtures.manifests import one, secret_names
from tests.fixtures.pages import TEXTS, blocks

KUBECTL = [shlex.split(line) for block in blocks("sh", "kubectl ") for line in block.splitlines()]


def test_every_object_that_a_kubectl_line_names_is_in_the_manifests(production: list[Object]) -> None:
    kinds: dict[str, set[str]] = {}
    for each in production:
        kinds.setdefault(each["kind"].lower(), set()).add(each["metadata"]["name"])
    kinds["secret"] = {name for each in production for name in secret_names(each)} | kinds["kafkauser"]
    brokers = {f"dsr-kafka-{pool}-0" for pool in kinds["kafkanodepool"]}
    assert KUBECTL
    for line in KUBECTL:
        if line[1:3] == ["apply", "-k"]:
            assert (ROOT / line[3] / "kustomization.yaml").is_file()
        kind = next((word for word in line if word in kinds), None)
        for word in line:
            if re.fullmatch(r"dsr-[a-z0-9-]+", word):
                assert word in (kinds[kind] if kind else brokers), f"{kind}: {word}"
    for name in re.findall(r"kubectl cnpg \w+ ([\w-]+)", "\n".join(TEXTS.values())):
        assert name in kinds["cluster"]


def test_the_patch_that_restores_the_cluster_is_valid_to_the_letter(schemas: Schemas, run_folder: Path) -> None:
    [patch] = blocks("yaml patch=Cluster")
    overlay = run_folder / "restored"
    overlay.mkdir()
    kustomization = {
        "resources": [os.path.relpath(K8S / "overlays" / "production", overlay)],
        "patches": [{"target": {"kind": "Cluster", "name": "dsr-postgres"}, "patch": patch}],
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
