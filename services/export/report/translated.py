"""The policy's words in the language of a report, as far as the policy says what was shipped; pure.

What the company has worded by itself is told in its own words: nobody has put those into another language.
"""

from services.export.report.texts import Texts
from shared.domain.policy import Policy, read_policy
from shared.domain.sentences import Term
from shared.domain.wording import Language, read_wordings


class Translated:
    """One policy in one language."""

    def __init__(self, policy: Policy, texts: Texts, language: Language) -> None:
        self._policy, self._shipped = policy, read_policy()
        self._texts = texts
        self._words = read_wordings().of(language, "UTC")

    def kind(self, held: str) -> str:
        """The name of a kind of data."""
        return self._words.text(Term("category", held))

    def category(self, held: str) -> str:
        """What belongs to it; that the policy does not say it, where it does not."""
        name = self._policy.category_of(held)
        if name is None:
            return self._texts.page["undeclared"]
        words, shipped = self._policy.categories[name].words, self._shipped.categories.get(name)
        return self._texts.categories.get(name, words) if shipped and shipped.words == words else words

    def purpose(self, name: str) -> str:
        """What data are processed for."""
        words, shipped = self._policy.purposes[name].words, self._shipped.purposes.get(name)
        return self._texts.purposes.get(name, words) if shipped and shipped.words == words else words

    def ceiling(self, name: str) -> str:
        """When data go for everybody."""
        ours, shipped = self._policy.ceilings[name], self._shipped.ceilings.get(name)
        same = shipped is not None and (shipped.words, shipped.period) == (ours.words, ours.period)
        return self._texts.ceilings.get(name, ours.words) if same else ours.words

    def rule(self, name: str) -> str:
        """Why data are kept in face of an erasure."""
        words, shipped = self._policy.rules[name].words, self._shipped.rules.get(name)
        known = f"ground.{name}" in self._words and shipped is not None and shipped.words == words
        return self._words.text(Term("ground", name)) if known else words
