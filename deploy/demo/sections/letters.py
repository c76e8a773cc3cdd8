"""The letters of the erasures, as text in the language of who reads them."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from deploy.demo.board import SubmittedRequest
from deploy.demo.client import DsrClient
from deploy.demo.company.countries import ascii_word
from deploy.demo.finding import Section
from shared.domain.policy import Policy
from shared.domain.wording import LANGUAGES

Written = Sequence[tuple[SubmittedRequest, Sequence[Mapping[str, Any]]]]
"""Requests, each with its letters."""
_TO_THE_PERSON = {"acknowledgement", "answer"}


async def written(client: DsrClient, requests: Iterable[SubmittedRequest]) -> Written:
    """The letters of these requests."""
    return [(each, await client.letters(each.request_id)) for each in requests]


def letters(erasures: Written, shown: SubmittedRequest, folder: Path, policy: Policy) -> Section:
    """Put the letters of all erasures into the folder; the answer to one of them is printed whole."""
    section = Section(f"The letter: {shown.part.person.name}, {shown.part.person.country}")
    folder.mkdir()
    answers: dict[str, Mapping[str, Any]] = {}
    for request, theirs in erasures:
        for letter in theirs:
            if letter["kind"] in _TO_THE_PERSON:
                name = f"{letter['language']}-{ascii_word(request.part.person.name)}-{letter['kind']}.txt"
                (folder / name).write_text(f"{letter['subject']}\n\n{letter['body']}", encoding="utf-8")
            if letter["kind"] == "answer":
                answers[request.request_id] = letter
    printed = answers[shown.request_id]
    section.say(*(f"│ {line}".rstrip() for line in printed["body"].splitlines()))
    section.find(printed["language"] == shown.part.person.language, "it is in the language of its reader")
    names = {request.request_id: policy.authority_of(request.part.person.country) for request, _ in erasures}
    told = [each for each, authority in names.items() if authority and authority.name in answers[each]["body"]]
    section.find(bool(told), f"{len(told)} of {len(answers)} keep something, and name where to complain")
    languages = {str(letter["language"]) for letter in answers.values()}
    section.find(
        languages == {*LANGUAGES} and len(answers) == len(erasures),
        f"the letters of all {len(answers)} erasures, in {', '.join(sorted(languages))}: {os.path.relpath(folder)}",
    )
    return section
