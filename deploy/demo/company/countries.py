"""Where the customers live: names, streets and number ranges of twelve countries, and numbers drawn from them."""

import re
import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

from pydantic import TypeAdapter

_LETTERS_WITHOUT_DECOMPOSITION = str.maketrans({"ł": "l", "Ł": "L", "ß": "ss", "ø": "o", "Ø": "O"})


@dataclass(frozen=True, slots=True)
class Country:
    """What makes people of one country believable; ``numbers`` are E.164 patterns with ``#`` for a digit."""

    code: str
    share: int
    language: str
    numbers: tuple[str, ...]
    mail: tuple[str, ...]
    first: tuple[str, ...]
    last: tuple[str, ...]
    streets: tuple[str, ...]
    cities: tuple[tuple[str, str], ...]


def countries() -> Mapping[str, Country]:
    """The countries by ISO 3166 code, in the order of the file."""
    raw = tomllib.loads((Path(__file__).parent / "countries.toml").read_text(encoding="utf-8"))
    return {code: TypeAdapter(Country).validate_python({"code": code, **entry}) for code, entry in raw.items()}


class NumberPlan:
    """Hands out every number at most once."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._taken: set[str] = set()

    def reserve(self, number: str) -> str:
        """Keep a number that somebody already has from being handed out again."""
        self._taken.add(number)
        return number

    def draw(self, country: Country) -> str:
        """A number of this country that nobody has."""
        while True:
            pattern = country.numbers[int(self._rng.random() * len(country.numbers))]
            number = "".join(str(int(self._rng.random() * 10)) if digit == "#" else digit for digit in pattern)
            if number not in self._taken:
                return self.reserve(number)


def ascii_word(text: str) -> str:
    """The part of an e-mail address that a name becomes: lower-case ASCII, words joined by dots."""
    decomposed = unicodedata.normalize("NFKD", text.translate(_LETTERS_WITHOUT_DECOMPOSITION))
    plain = decomposed.encode("ascii", "ignore").decode().lower().replace("'", "")
    return re.sub(r"[^a-z0-9]+", ".", plain).strip(".")
