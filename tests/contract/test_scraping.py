"""Who scrapes what: the privacy team the exact figures, with a token; everybody else what is for everybody."""

import re
from typing import Any

import pytest
import yaml

from deploy.local.paths import ROOT
from shared.runtime.settings import TelemetrySettings
from tests.fixtures.observation import rules

K8S = ROOT / "deploy" / "k8s"
SECRET = {"name": "dsr-metrics", "key": "token"}


@pytest.fixture(scope="module")
def monitors() -> dict[str, Any]:
    """The pod monitors by name."""
    path = K8S / "components" / "observability" / "podmonitor.yaml"
    return {each["metadata"]["name"]: each for each in yaml.safe_load_all(path.read_text())}


def test_the_privacy_team_alone_scrapes_exact_figures_and_brings_the_token(monitors: dict[str, Any]) -> None:
    (exact,) = monitors["dsr-privacy"]["spec"]["podMetricsEndpoints"]
    (coarse,) = monitors["dsr"]["spec"]["podMetricsEndpoints"]
    assert (exact["path"], exact["authorization"]) == ("/metrics/privacy", {"type": "Bearer", "credentials": SECRET})
    assert (coarse["path"], "authorization" in coarse) == ("/metrics", False)


def test_no_selector_takes_both_monitors(monitors: dict[str, Any]) -> None:
    audiences = [each["metadata"]["labels"]["data-subject-requests/audience"] for each in monitors.values()]
    assert sorted(audiences) == ["everybody", "privacy"]


def test_job_and_pods_are_called_as_the_rules_know_them(monitors: dict[str, Any]) -> None:
    assert {job for rule in rules() for job in re.findall(r'job="(\w+)"', rule["expr"])} == {"dsr"}
    by_name = {"sourceLabels": ["__meta_kubernetes_pod_name"], "targetLabel": "instance"}
    for monitor in monitors.values():
        for endpoint in monitor["spec"]["podMetricsEndpoints"]:
            assert {"targetLabel": "job", "replacement": "dsr"} in endpoint["relabelings"]
            assert by_name in endpoint["relabelings"]
    (scraped,) = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    assert (scraped["job_name"], scraped["metrics_path"]) == ("dsr", "/metrics/privacy")


def test_every_service_is_given_that_token_where_there_is_one() -> None:
    objects = yaml.safe_load_all((K8S / "base" / "service" / "service.yaml").read_text())
    (pod,) = [each["spec"]["template"]["spec"] for each in objects if each["kind"] == "Deployment"]
    (service,) = pod["containers"]
    name = f"{TelemetrySettings.model_config['env_prefix']}PRIVACY_TOKEN"
    assert {"name": name, "valueFrom": {"secretKeyRef": {**SECRET, "optional": True}}} in service["env"]
