"""Every dependency is listed with its licence and its reason, and nothing else is."""

import re
from importlib.metadata import metadata
from pathlib import Path

import pytest

from deploy.local.paths import ROOT

DECISION = ROOT / "docs" / "decisions" / "0005-dependencies.md"
LISTED = {
    name: (licence, why)
    for name, licence, why in re.findall(r"^\| ([a-z0-9-]+) \| (.+?) \| (.+) \|$", DECISION.read_text(), re.MULTILINE)
    if name != "package"
}


def required(path: Path) -> set[str]:
    lines = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    return {re.split(r"[>=;\s]", line)[0] for line in lines if line}


def test_what_is_required_is_what_was_decided() -> None:
    assert required(ROOT / "requirements.in") == set(LISTED)


@pytest.mark.parametrize("name", sorted(LISTED))
def test_its_licence_is_the_one_that_the_package_declares(name: str) -> None:
    declared = metadata(name)
    classifiers = " ; ".join(declared.get_all("Classifier") or []) + " ;"
    words = [*(declared.get_all("License-Expression") or []), *(declared.get_all("License") or [])]
    licence, _ = LISTED[name]
    assert licence in words or f"({licence})" in classifiers or f":: {licence} ;" in classifiers
