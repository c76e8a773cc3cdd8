"""What a system that holds data is called when people are told of it; pure."""

from shared.domain.policy.categories import Data, Words
from shared.domain.wording import Language


class Called(Data):
    """The name that people read in each language, without an article; it stands in quotation marks in a sentence."""

    en: Words
    de: Words
    fr: Words
    es: Words

    def of(self, language: Language) -> str:
        """The name in that language."""
        names: dict[Language, str] = {"en": self.en, "de": self.de, "fr": self.fr, "es": self.es}
        return names[language]
