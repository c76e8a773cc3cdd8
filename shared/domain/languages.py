"""Reads the languages of letters and pages, each a folder of ``shared/policy/languages``, and whose each is."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, WithJsonSchema

from shared.domain.toml_file import read_toml

WORDINGS: Final = Path(__file__).parents[1] / "policy" / "languages"
_ENGLISH: Final = "en"


class LanguageLocale(BaseModel):
    """The locales of days and numbers (CLDR), and the first of a month where CLDR does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    locale: str
    first_of_a_month: str | None = None


LANGUAGE_LOCALES: Final[Mapping[str, LanguageLocale]] = {
    file.parent.name: read_toml(file, LanguageLocale)
    for file in sorted(WORDINGS.glob("*/language.toml"), key=lambda file: (file.parent.name != _ENGLISH, file))
}
LANGUAGES: Final = tuple(LANGUAGE_LOCALES)
"""Every language with a folder, English first."""


def _known(language: str) -> str:
    if language not in LANGUAGE_LOCALES:
        raise ValueError(f"no such language; the languages are {', '.join(LANGUAGES)}")
    return language


Language = Annotated[str, AfterValidator(_known), WithJsonSchema({"type": "string", "enum": [*LANGUAGES]})]
ENGLISH: Final[Language] = _ENGLISH
LOCALES: Final[Mapping[Language, str]] = {language: tongue.locale for language, tongue in LANGUAGE_LOCALES.items()}


def report_of(language: Language) -> Path:
    """The file with the words of the report of an access."""
    return WORDINGS / language / "report.toml"


class Languages(BaseModel):
    """Default languages of readers; ``customers``: for customers about their instructions."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    elsewhere: Language
    customers: Language
    countries: Mapping[Annotated[str, StringConstraints(pattern="^[A-Z]{2}$")], Language]

    def of(self, country: str | None) -> Language:
        """Returns the language of a country (ISO 3166), or of an unknown one."""
        return self.countries.get(country or "", self.elsewhere)


@cache
def read_languages(path: Path = WORDINGS / "languages.toml") -> Languages:
    """Returns the languages by country; raises ``Misconfigured`` if the file cannot be used."""
    return read_toml(path, Languages)
