"""Alert rules as an object of a cluster, from deploy/prometheus: kustomize reads no file outside its own folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from deploy import k8s_yaml
from deploy.local.paths import ROOT

RULES = ROOT / "deploy" / "prometheus" / "rules"


def documents() -> dict[Path, str]:
    """Every generated file by its path below deploy/k8s."""
    return {Path("components/observability/rules.yaml"): k8s_yaml.text([rules()], "deploy/prometheus/rules")}


def rules() -> Mapping[str, Any]:
    """Every recording and alerting rule, for the Prometheus operator."""
    groups = [group for path in sorted(RULES.glob("*.yml")) for group in yaml.safe_load(path.read_text())["groups"]]
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "dsr"},
        "spec": {"groups": groups},
    }
