"""Every dependency is listed with its licence and its reason, and nothing else is."""

import json
import re
from collections import Counter
from importlib.metadata import files, metadata
from pathlib import Path

import pytest

from deploy.k8s.generate.settings import variables
from deploy.local.paths import ROOT

DECISION = ROOT / "docs" / "decisions" / "0005-dependencies.md"
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


def test_the_image_has_what_the_services_require_and_no_tool_of_ours() -> None:
    text = (ROOT / "requirements.in").read_text()
    services, _, rest = text.partition("# The services\n")[2].partition("\n\n")
    names = {line.partition("==")[0] for line in locked(ROOT / "requirements.image.lock")}
    assert names_in(services) <= names
    assert names_in(rest) & names <= {"rich"}, "typer needs rich; what else only we need stays out"


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


# What the pages name is there: variables, routes, files and links; and no word of the glossary is explained twice.
PAGES = [
    *ROOT.glob("*.md"),
    *ROOT.glob("docs/*.md"),
    *ROOT.glob("docs/plug-in/*.md"),
    *ROOT.glob("deploy/**/*.md"),
    *ROOT.glob("tests/*/*.md"),
]
"""Decisions tell of their day, and are left as they were."""
READERS = {".py", ".toml", ".yaml", ".sh"}


def test_every_variable_that_a_page_names_is_read_by_something() -> None:
    text = "".join(
        file.read_text(encoding="utf-8")
        for folder in ("shared", "services", "deploy", "tests/fakes")
        for file in (ROOT / folder).rglob("*")
        if file.suffix in READERS
    )
    read = {name for name, _ in variables()} | {*re.findall(r"DSR_[A-Z0-9_]+", text)}
    texts = {page.name: page.read_text(encoding="utf-8") for page in PAGES}
    read |= {name for said in texts.values() for name in re.findall(r'_env = "(DSR_[A-Z0-9_]+)"', said)}
    for name, said in texts.items():
        assert {*re.findall(r"DSR_[A-Z0-9_]*[A-Z0-9]\b(?!_)", said)} - read == set(), name


def test_every_route_that_a_page_names_is_one_of_the_api() -> None:
    paths = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))["paths"]
    routes = [re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path)) for path in paths]
    for page in PAGES:
        for named in re.findall(r"/v1/[A-Za-z0-9_/{}.$-]*", page.read_text(encoding="utf-8")):
            assert any(route.fullmatch(named.rstrip("./")) for route in routes), f"{page.name}: {named}"


def test_every_file_that_a_page_names_or_leads_to_exists() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        named = [ROOT / name for name in re.findall(r"`((?:deploy|docs|shared|services|tests)/[\w./-]+)`", text)]
        named += [page.parent / name for name in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)]
        assert [file for file in named if not file.exists()] == [], page.name


def test_no_word_of_the_glossary_is_explained_twice() -> None:
    words = re.findall(r"^\| (\*\*.*?) \|", (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert [word for word, times in Counter(words).items() if times > 1] == []
