"""Alert rules and dashboards as objects of a cluster, from what deploy/prometheus and deploy/grafana hold.

kustomize reads no file outside its own folder, so both are written there; a test compares.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from deploy import k8s_yaml
from deploy.local.paths import ROOT

RULES = ROOT / "deploy" / "prometheus" / "rules"
DASHBOARDS = ROOT / "deploy" / "grafana" / "dashboards"
FOLDER = "Data subject requests"
"""Where Grafana shows them; deploy/grafana/provisioning says the same."""

_SOURCE = "deploy/prometheus/rules, deploy/grafana"


def documents() -> dict[Path, str]:
    """Every generated file by its path below deploy/k8s."""
    component = Path("components/observability")
    return {
        component / "rules.yaml": k8s_yaml.text([rules()], _SOURCE),
        component / "dashboards.yaml": k8s_yaml.text(dashboards(), _SOURCE),
    }


def rules() -> Mapping[str, Any]:
    """Every recording and alerting rule, for the Prometheus operator."""
    groups = [group for path in sorted(RULES.glob("*.yml")) for group in yaml.safe_load(path.read_text())["groups"]]
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "dsr"},
        "spec": {"groups": groups},
    }


def dashboards() -> Iterator[Mapping[str, Any]]:
    """One ConfigMap per dashboard, with the label by which Grafana's sidecar finds it."""
    for path in sorted(DASHBOARDS.glob("*.json")):
        yield {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": f"dsr-dashboard-{path.stem}",
                "labels": {"grafana_dashboard": "1"},
                "annotations": {"grafana_folder": FOLDER},
            },
            "data": {path.name: path.read_text()},
        }
