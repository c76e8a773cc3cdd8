"""What the pages name is there: variables, routes, files and links; and no word of the glossary is explained twice."""

import json
import re
from collections import Counter

from deploy.k8s.generate.settings import variables
from deploy.local.paths import ROOT

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
