"""No metric is declared in vain: each is set or counted by the product, and each is asserted with a value by a test."""

import ast
from collections.abc import Iterator
from functools import cache

import pytest

from deploy.local.paths import ROOT
from tests.fixtures.observation import METRICS

DECLARED = [ROOT / "shared" / "runtime" / "metrics.py", *sorted(ROOT.glob("services/*/metrics.py"))]
PRODUCT = [path for folder in ("services", "shared") for path in sorted((ROOT / folder).rglob("*.py"))]
TESTS = [path for folder in ("unit", "integration") for path in sorted((ROOT / "tests" / folder).rglob("test_*.py"))]
_SUFFIXES = ("", "_count", "_sum")


@cache
def variables() -> dict[str, str]:
    """The variable that holds each metric."""
    found = {}
    for node in (node for path in DECLARED for node in ast.parse(path.read_text()).body):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and node.value.args:
            name, (target,) = node.value.args[0], node.targets
            if isinstance(name, ast.Constant) and isinstance(target, ast.Name):
                found[str(name.value)] = target.id
    return found


def used(tree: ast.Module) -> Iterator[str]:
    """Which of those variables a module uses: `metrics.OPEN`, called or handed on, or `OPEN.labels` once imported."""
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).endswith(".metrics")
        for alias in node.names
    }
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="metrics"), attr=name):
                yield name
            case ast.Attribute(value=ast.Name(id=name)) if name in imported:
                yield name


def asserted(tree: ast.Module) -> Iterator[str]:
    """The strings in every test."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield from (
                each.value for each in ast.walk(node) if isinstance(each, ast.Constant) and isinstance(each.value, str)
            )


@cache
def used_somewhere() -> set[str]:
    return {name for path in PRODUCT if path not in DECLARED for name in used(ast.parse(path.read_text()))}


@cache
def asserted_somewhere() -> set[str]:
    return {text for path in TESTS for text in asserted(ast.parse(path.read_text()))}


@pytest.mark.parametrize("metric", sorted(METRICS))
def test_every_metric_has_a_source_in_the_product(metric: str) -> None:
    assert variables()[metric] in used_somewhere()


@pytest.mark.parametrize("metric", sorted(METRICS))
def test_every_metric_is_asserted_with_its_value_by_a_test_of_its_source(metric: str) -> None:
    assert {metric + suffix for suffix in _SUFFIXES} & asserted_somewhere()


def test_a_metric_without_a_source_would_be_found() -> None:
    module = ast.parse(
        "from shared.runtime import metrics\nfrom shared.runtime.metrics import A, B\n"
        "A.labels('x')\nmetrics.C.set(1)\nf(metrics.D)"
    )
    assert set(used(module)) >= {"A", "C", "D"}
    assert "B" not in set(used(module))
