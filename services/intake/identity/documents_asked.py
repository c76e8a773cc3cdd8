"""Whether words to a requester ask for an identity document, by the words of the policy; pure.

A document by its name is asked for wherever it stands. What is none by itself, as a card or papers, is one beside a
word for a copy of it, or for showing it: so no list of sentences is kept.
"""

import re
from collections.abc import Iterator
from functools import cache
from itertools import product

from shared.domain.identity_rules import NeverAskedFor, Words
from shared.domain.text import folded

_HYPHENS = re.compile(r"[\u002d\u2010-\u2015]")
_SPACED = re.compile(r"(?<=\b\w) (?=\w\b)")
_WORD = re.compile(r"[\w'*]+")
Place = tuple[int, int, str]
"""The first word of what was found, the one after its last, and what was found."""


def asked_for(said: str, never: NeverAskedFor) -> str | None:
    """What asks for a document, as it was found; None where nothing does."""
    readings = dict.fromkeys(" ".join(_WORD.findall(each)) for each in _readings(said))
    return next((found for each in readings if (found := _asked_for(each, never))), None)


def _asked_for(said: str, never: NeverAskedFor) -> str | None:
    if named := next(_places(said, never.documents), None):
        return named[-1]
    left = _either(never.harmless).sub(lambda found: " ".join("_" for _ in found[0].split()), said)
    documents, proofs = [*_places(left, never.ids)], [*_places(left, never.proofs)]
    beside = ((never.copies, documents + proofs, never.copies_within), (never.shows, documents, never.shows_within))
    for acts, of, within in beside:
        for act, document in product(_places(left, acts), of):
            if max(act[0], document[0]) - min(act[1], document[1]) <= within:
                return " … ".join(each[-1] for each in sorted((act, document)))
    return None


def _places(said: str, wanted: Words) -> Iterator[Place]:
    """Where one of them stands."""
    for found in _either(wanted).finditer(said):
        first = said.count(" ", 0, found.start())
        yield first, first + found[0].count(" ") + 1, found[0]


@cache
def _either(wanted: Words) -> re.Pattern[str]:
    """Any of them as whole words; ``*`` stands for the end of one. The longest first, as one may begin another."""
    folded_words = sorted({" ".join(_WORD.findall(folded(each))) for each in wanted}, key=len, reverse=True)
    either = "|".join(re.escape(each).replace(r"\*", "[^ ]*") for each in folded_words)
    return re.compile(rf"(?<![^ ])(?:{either})(?![^ ])")


def _readings(said: str) -> Iterator[str]:
    """The words as one may read them: a hyphen as nothing or as a blank, spaced-out letters as one word."""
    for text in (said, _HYPHENS.sub(" ", said)):
        yield folded(text)
        yield _SPACED.sub("", folded(text))
