"""Who scrapes what: the privacy team the exact figures, with a token; everybody else what is for everybody."""

from typing import Any

import pytest
import yaml

from deploy.local.paths import ROOT
from shared.runtime.settings import TelemetrySettings

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


def test_the_job_is_called_as_the_rules_ask_for_it(monitors: dict[str, Any]) -> None:
    (exact,) = monitors["dsr-privacy"]["spec"]["podMetricsEndpoints"]
    assert {"targetLabel": "job", "replacement": "dsr"} in exact["relabelings"]
    (scraped,) = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    assert (scraped["job_name"], scraped["metrics_path"]) == ("dsr", "/metrics/privacy")


def test_a_pod_is_called_by_its_name_by_which_the_rules_know_its_service(monitors: dict[str, Any]) -> None:
    by_name = {"sourceLabels": ["__meta_kubernetes_pod_name"], "targetLabel": "instance"}
    for monitor in monitors.values():
        assert by_name in monitor["spec"]["podMetricsEndpoints"][0]["relabelings"]


def test_every_service_is_given_that_token_where_there_is_one() -> None:
    objects = yaml.safe_load_all((K8S / "base" / "service" / "service.yaml").read_text())
    (pod,) = [each["spec"]["template"]["spec"] for each in objects if each["kind"] == "Deployment"]
    (service,) = pod["containers"]
    name = f"{TelemetrySettings.model_config['env_prefix']}PRIVACY_TOKEN"
    assert {"name": name, "valueFrom": {"secretKeyRef": {**SECRET, "optional": True}}} in service["env"]
