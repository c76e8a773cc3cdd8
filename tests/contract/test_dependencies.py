"""Every dependency is listed with its licence and its reason, and no other is."""

import re
from importlib.metadata import files, metadata
from pathlib import Path

import pytest

from deploy.local.paths import ROOT

DECISION = ROOT / "docs" / "decisions" / "0030-dependencies.md"
LISTED = dict(re.findall(r"^\| (?!package )([a-z0-9-]+) \| (.+?) \| .+ \|$", DECISION.read_text(), re.MULTILINE))
"""The licence of each package."""


def names_in(requirements: str) -> set[str]:
    lines = (line.partition("#")[0].strip() for line in requirements.splitlines())
    return {re.split(r"[<>=;\s]", line)[0] for line in lines if line}


def locked(path: Path) -> dict[str, frozenset[str]]:
    """The hashes of each package of a lock, by name and version."""
    packages = re.findall(r"^(\S+==\S+).*((?:\n +--hash=\S+.*)+)", path.read_text(), re.MULTILINE)
    return {name: frozenset(re.findall(r"--hash=(\S+)", hashes)) for name, hashes in packages}


def test_the_image_has_the_very_files_that_were_tested() -> None:
    image, tested = locked(ROOT / "requirements.image.lock"), locked(ROOT / "requirements.lock")
    assert all(image.values())
    assert image.items() <= tested.items()


def test_image_has_the_requirements_of_services_and_no_tool() -> None:
    text = (ROOT / "requirements.in").read_text()
    services, _, rest = text.partition("# The services\n")[2].partition("\n\n")
    names = {line.partition("==")[0] for line in locked(ROOT / "requirements.image.lock")}
    assert names_in(services) <= names
    assert not names_in(rest) & names, "what only tests and tools need stays out"


def test_what_is_required_is_what_was_decided() -> None:
    assert names_in((ROOT / "requirements.in").read_text()) == set(LISTED)


@pytest.mark.parametrize("name", sorted(LISTED))
def test_its_licence_is_the_one_that_the_package_declares(name: str) -> None:
    declared = metadata(name)
    classifiers = " ; ".join(declared.get_all("Classifier") or []) + " ;"
    described = re.findall(r"^License +(.+)$", str(declared.json.get("description")), re.MULTILINE)
    words = [*(declared.get_all("License-Expression") or []), *(declared.get_all("License") or []), *described]
    texts = [file.read_text() for file in files(name) or () if "licenses" in file.parts]
    words += [text.strip().splitlines()[0] for text in texts if text.strip()]
    licence = LISTED[name]
    assert licence in words or f"({licence})" in classifiers or f":: {licence} ;" in classifiers
