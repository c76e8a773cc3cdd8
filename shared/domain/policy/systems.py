"""What a system that holds data is called when people are told of it; pure."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator

from shared.domain.policy.categories import Words
from shared.domain.wording import ENGLISH, Language


def _in_english(names: Mapping[Language, str]) -> Mapping[Language, str]:
    if ENGLISH not in names:
        raise ValueError("has no English name: write en, which is read where a language has none of its own")
    return names


Called = Annotated[Mapping[Language, Words], AfterValidator(_in_english)]
"""The name that people read in each language, without an article; it stands in quotation marks in a sentence."""


def name_in(language: Language, called: Called) -> str:
    """The name in that language, or else in English."""
    return called.get(language) or called[ENGLISH]
