"""What the report says: of each language a file, ``report.toml``, with the same keys."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Final

from pydantic import ConfigDict

from shared.domain.cells import Words
from shared.domain.toml_file import read_toml
from shared.domain.wording import ENGLISH, LANGUAGES, report_of

_WORDS: Final = re.compile(r"(?<=[a-z])(?=[A-Z])|[\W_]+")


class Texts(Words):
    """The texts of one language.

    ``items``: the questions of the checklist; ``details``: parts of what happened to a request that are shown, and how
    they are called; ``codes``: the words of the codes in them; ``fields``: what fields mean that no dataset explains;
    ``columns``: their headings.
    ``purposes``, ``categories``, ``ceilings``: the policy's own words for them, where they are in another language;
    ``meanings``: what fields of the datasets that we ship mean, by what these say of it. ``values``: the words of codes
    that stand in records, by field. ``readme``: what the text says that lies beside the files.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    items: Mapping[str, str]
    answers: Mapping[str, str]
    bases: Mapping[str, str]
    roles: Mapping[str, str]
    recipients: Mapping[str, str]
    safeguards: Mapping[str, str]
    sources: Mapping[str, str]
    anchors: Mapping[str, str]
    reasons: Mapping[str, str]
    types: Mapping[str, str]
    events: Mapping[str, str]
    details: Mapping[str, str]
    codes: Mapping[str, str]
    fields: Mapping[str, str]
    columns: Mapping[str, str]
    readme: Mapping[str, str]
    meanings: Mapping[str, str] = {}
    purposes: Mapping[str, str] = {}
    categories: Mapping[str, str] = {}
    ceilings: Mapping[str, str] = {}

    def meaning(self, said: str | None, name: str) -> str | None:
        """What a field means, as its dataset says it (``said``), or by its name; None: nobody says it."""
        return self.meanings.get(said, said) if said else self.fields.get(name)

    def label(self, said: str | None, name: str) -> str:
        """Returns the heading of a field: ours, else its meaning, else a readable form of its name."""
        words = _WORDS.sub(" ", name).strip().lower()
        ours = self.columns.get(said or "") or self.columns.get(words.replace(" ", "_"))
        label = ours or self.meaning(said, name) or words
        return label[:1].upper() + label[1:]


@cache
def texts_of(language: str) -> Texts:
    """The texts of a language, or of English where there are none of it.

    Raises:
        Misconfigured: the file cannot be used.
    """
    return read_toml(report_of(language if language in LANGUAGES else ENGLISH), Texts)
