"""The policy's words in the language of a report, as far as the policy says what was shipped; pure.

What the company has worded by itself is told in its own words: nobody has put those into another language.
"""

from datetime import date

from services.export.report.texts import Texts
from shared.domain.policy import Policy, says_as_shipped
from shared.domain.policy.parties import name_in
from shared.domain.sentences import Term
from shared.domain.wording import Language, read_wordings


class Translated:
    """One policy in one language."""

    def __init__(self, policy: Policy, texts: Texts, language: Language) -> None:
        self._policy, self._texts = policy, texts
        self._words = read_wordings().of(language, "UTC")
        self._language = language

    def kind(self, held: str) -> str:
        """The name of a kind of data."""
        return self._words.text(Term("category", held))

    def system(self, key: str) -> str:
        """Returns the name of a system."""
        called = self._policy.systems.get(key)
        return name_in(self._language, called) if called else key

    def filed(self, key: str) -> str:
        """Returns the name with the key that the files of the package have."""
        called = self.system(key)
        return called if called == key else f"{called} ({key})"

    def category(self, held: str) -> str:
        """What belongs to it; that the policy does not say it, where it does not."""
        name = self._policy.category_of(held)
        if name is None:
            return self._texts.page["undeclared"]
        words = self._policy.categories[name].words
        return self._texts.categories.get(name, words) if says_as_shipped(self._policy, "categories", name) else words

    def purpose(self, name: str) -> str:
        """What data are processed for."""
        words = self._policy.purposes[name].words
        return self._texts.purposes.get(name, words) if says_as_shipped(self._policy, "purposes", name) else words

    def detail(self, name: str, value: object, decision: object = "extension") -> str:
        """A part of what happened to a request; what no catalogue has is shown as it is. ``decision``: of a reason."""
        code = str(value)
        if name == "system":
            return self.system(code)
        if name == "due_on":
            return self._words.text(date.fromisoformat(code))
        if name == "purpose" and code in self._policy.purposes:
            return self.purpose(code)
        of_kind = {"kind": ("letter_named", code), "reason": (f"reason.{decision}", code)}
        family, word = of_kind.get(name, (name, code))
        if f"{family}.{word}" in self._words:
            return self._words.text(Term(family, word)).rstrip(".")
        return self._texts.codes.get(code, code)

    def says_how_long(self, ceiling: str) -> bool:
        """Whether the words of a ceiling are those that were shipped, which name its period."""
        return says_as_shipped(self._policy, "ceilings", ceiling)

    def ceiling(self, name: str) -> str:
        """When data go for everybody."""
        words = self._policy.ceilings[name].words
        return self._texts.ceilings.get(name, words) if says_as_shipped(self._policy, "ceilings", name) else words

    def rule(self, name: str) -> str:
        """Why data are kept in face of an erasure."""
        known = f"ground.{name}" in self._words and says_as_shipped(self._policy, "rules", name)
        return self._words.text(Term("ground", name)) if known else self._policy.rules[name].words
