"""The manifests: rendered, and valid to the letter."""

import copy
from typing import Any

import pytest

from deploy.k8s.check import Object, faults
from deploy.k8s.schemas import Schemas
from tests.fixtures.manifests import of


def test_every_object_is_valid_to_the_letter(objects: list[Object], schemas: Schemas) -> None:
    assert list(faults(objects, schemas)) == []


@pytest.mark.parametrize(
    ("kind", "place"),
    [
        ("Deployment", "spec.template.spec.containers.0.securityContext"),
        ("ScaledObject", "spec"),
        ("Kafka", "spec.kafka"),
        ("PrometheusRule", "spec.groups.0.rules.0"),
    ],
    ids=["Kubernetes", "Go modules", "Strimzi's jars", "cloudcoil"],
)
def test_a_misspelt_field_is_found_by_the_schemas_of_each_source(
    production: list[Object], schemas: Schemas, kind: str, place: str
) -> None:
    misspelt = copy.deepcopy(of(production, kind)[0])
    node: Any = misspelt
    for step in place.split("."):
        node = node[int(step) if step.isdigit() else step]
    node["runAsNonRoott"] = True
    assert any("runAsNonRoott" in fault for fault in faults([misspelt], schemas))


def test_every_trigger_uses_only_keys_that_its_scaler_reads(production: list[Object], schemas: Schemas) -> None:
    triggers = [trigger for scaled in of(production, "ScaledObject") for trigger in scaled["spec"]["triggers"]]
    assert {trigger["type"] for trigger in triggers} == {"kafka", "postgresql"}
    for trigger in triggers:
        assert set(trigger["metadata"]) <= set(schemas.trigger_keys[trigger["type"]]), trigger["name"]
