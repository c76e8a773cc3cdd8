"""Network policies deny every connection that is not needed."""

from typing import Any

import pytest

from deploy.k8s.check import Object, named
from shared.domain.topics import ServiceName
from shared.storage.grants import FULFILLING
from tests.fixtures.manifests import of, one

DNS = {(53, "UDP"), (53, "TCP")}
BROKER = {"strimzi.io/cluster": "dsr-kafka"}
DATABASE = {"cnpg.io/cluster": "dsr-postgres"}
SERVICES = {"data-subject-requests/role": "service"}


def labels_of(objects: list[Object], deployment: str) -> dict[str, str]:
    labels = one(objects, "Deployment", deployment)["spec"]["template"]["metadata"]["labels"]
    return {str(name): str(value) for name, value in labels.items()}


def chosen(selector: Any, labels: dict[str, str]) -> bool:
    """Whether a selector chooses a pod with these labels."""
    expressions = selector.get("matchExpressions", [])
    assert all(each["operator"] == "In" for each in expressions)
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        labels.get(each["key"]) in each["values"] for each in expressions
    )


def rules(objects: list[Object], labels: dict[str, str], direction: str) -> list[Any]:
    """Returns the rules of all policies for a pod with these labels."""
    mine = [p["spec"] for p in of(objects, "NetworkPolicy") if chosen(p["spec"]["podSelector"], labels)]
    assert any(direction in map(str.lower, spec["policyTypes"]) for spec in mine)
    return [rule for spec in mine for rule in spec.get(direction, [])]


def ports(rule: Any) -> set[tuple[int, str]]:
    return {(each["port"], each["protocol"]) for each in rule["ports"]}


def reaches(rules: list[Any], labels: dict[str, str], port: int) -> bool:
    """Whether a pod of the same namespace with these labels is reached at that port."""
    return any(
        (port, "TCP") in ports(rule) and chosen(peer["podSelector"], labels)
        for rule in rules
        for peer in rule.get("to", [])
        if "podSelector" in peer and "namespaceSelector" not in peer
    )


def admits(rules: list[Any], peer: Any, port: int) -> bool:
    return any(peer in rule["from"] and (port, "TCP") in ports(rule) for rule in rules)


def namespace(name: str) -> Any:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}


def test_only_declared_connections_are_allowed(objects: list[Object]) -> None:
    policies = of(objects, "NetworkPolicy")
    deny = one(objects, "NetworkPolicy", "default-deny")["spec"]
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for policy in policies:
        for rule in policy["spec"].get("ingress", []):
            assert rule.get("from"), f"{named(policy)} lets everybody in"
        for rule in policy["spec"].get("egress", []):
            assert rule.get("ports") or rule.get("to"), f"{named(policy)} lets everything out"
    assert one(objects, "NetworkPolicy", "services")["spec"]["podSelector"] == {"matchLabels": SERVICES}
    for service in ServiceName:
        assert SERVICES.items() <= labels_of(objects, f"dsr-{service}").items()


def test_no_peer_of_a_network_policy_was_given_the_label_of_the_policys_own_service(objects: list[Object]) -> None:
    for policy in of(objects, "NetworkPolicy"):
        for rule in policy["spec"].get("egress", []):
            for peer in rule.get("to", []):
                labels = peer.get("podSelector", {}).get("matchLabels", {})
                assert len(labels) <= 1, named(policy)


@pytest.mark.parametrize("service", ServiceName)
def test_a_service_reaches_names_broker_database_collector_and_its_downstreams_and_nothing_else(
    production: list[Object], service: ServiceName
) -> None:
    allowed = rules(production, labels_of(production, f"dsr-{service}"), "egress")
    assert reaches(allowed, BROKER, 9093)
    assert reaches(allowed, DATABASE, 5432)
    assert reaches(allowed, labels_of(production, "dsr-collector"), 4318)
    downstream = {"namespaceSelector": {"matchLabels": {"data-subject-requests/downstream": "true"}}}
    mail = {"namespaceSelector": {"matchLabels": {"data-subject-requests/mail": "true"}}}
    provider = {"namespaceSelector": {"matchLabels": {"data-subject-requests/identity-provider": "true"}}}
    known = (downstream, mail, provider)
    outside = [peer for rule in allowed for peer in rule["to"] if "namespaceSelector" in peer and peer not in known]
    assert [sorted(peer) for peer in outside] == [["namespaceSelector", "podSelector"]]  # the names, and only they
    assert sum(ports(rule) == DNS for rule in allowed) == 1
    goes_there = any(downstream in rule["to"] for rule in allowed)
    assert goes_there is (service in FULFILLING)
    assert any(mail in rule["to"] for rule in allowed) is (service is ServiceName.CORRESPONDENCE)
    assert any(provider in rule["to"] for rule in allowed) is (service is ServiceName.INTAKE)
    assert len(allowed) == 5


@pytest.mark.parametrize("service", ServiceName)
def test_a_service_is_reached_by_prometheus_and_only_intake_from_outside(
    production: list[Object], service: ServiceName
) -> None:
    allowed = rules(production, labels_of(production, f"dsr-{service}"), "ingress")
    assert admits(allowed, namespace("monitoring"), 8080)
    assert admits(allowed, namespace("ingress-nginx"), 8080) is (service is ServiceName.INTAKE)
    assert len(allowed) == 1 + (service is ServiceName.INTAKE)


def test_brokers_reach_each_other_their_operator_and_their_users(production: list[Object]) -> None:
    admitted = rules(production, BROKER, "ingress")
    assert {"podSelector": {"matchLabels": BROKER}} in admitted[1]["from"]
    assert namespace("strimzi") in admitted[1]["from"]
    peers = [{"podSelector": {"matchLabels": SERVICES}}, namespace("keda")]
    assert admitted[0]["from"] == peers
    (listener,) = one(production, "Kafka", "dsr-kafka")["spec"]["kafka"]["listeners"]
    assert listener["networkPolicyPeers"] == peers  # or the operator's own policy would let everybody in
    assert ports(admitted[0]) == {(listener["port"], "TCP")}


def test_the_database_is_reached_by_its_operator_its_pooler_and_the_services_and_reaches_its_backups(
    production: list[Object],
) -> None:
    admitted = rules(production, DATABASE, "ingress")
    for labels in (SERVICES, {"app.kubernetes.io/name": "dsr-migration"}, DATABASE):
        assert admits(admitted, {"podSelector": {"matchLabels": labels}}, 5432)
    assert admits(admitted, {"podSelector": {"matchLabels": {"cnpg.io/poolerName": "dsr-postgres-pooler"}}}, 5432)
    assert admits(admitted, namespace("cnpg-system"), 8000)
    left = rules(production, DATABASE, "egress")
    assert any((443, "TCP") in ports(rule) for rule in left if "to" not in rule)  # object storage, the API server
    pooler = rules(production, {"cnpg.io/poolerName": "dsr-postgres-pooler"}, "ingress")
    assert pooler[0]["from"] == [namespace("keda"), namespace("monitoring")]
    assert len(pooler) == 1


def test_every_pod_may_resolve_names(objects: list[Object]) -> None:
    starts = [*of(objects, "Deployment"), *of(objects, "Job")]
    for each in starts:
        labels = dict(each["spec"]["template"]["metadata"]["labels"])
        found = [rule for rule in rules(objects, labels, "egress") if "ports" in rule and ports(rule) == DNS]
        assert found, named(each)


def test_outside_reaches_the_api_and_the_sites_and_the_portals_addresses_are_in_no_log(
    production: list[Object],
) -> None:
    doors = of(production, "Ingress")
    reached = {
        path["path"]: each["metadata"]["annotations"].get("nginx.ingress.kubernetes.io/enable-access-log")
        for each in doors
        for rule in each["spec"]["rules"]
        for path in rule["http"]["paths"]
    }
    assert reached == {"/v1": None, "/portal": "false", "/console": None}
    console = one(production, "Ingress", "dsr-console")["metadata"]["annotations"]
    assert console["nginx.ingress.kubernetes.io/whitelist-source-range"] != "0.0.0.0/0"
    (host,) = {rule["host"] for each in doors for rule in each["spec"]["rules"]}
    container = one(production, "Deployment", "dsr-intake")["spec"]["template"]["spec"]["containers"][0]
    variables = {each["name"]: each.get("value") for each in container["env"]}
    assert variables["DSR_PORTAL_URL"] == variables["DSR_CONSOLE_URL"] == f"https://{host}"
