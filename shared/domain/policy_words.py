"""The words of every language, with what a policy calls its rules, purposes, categories and systems; pure."""

from collections.abc import Iterator, Mapping

from shared.domain.languages import LANGUAGES, Language
from shared.domain.operations import COUNTRY_UNKNOWN
from shared.domain.policy import Policy, says_as_shipped
from shared.domain.policy.parties import name_in
from shared.domain.sentences import Fact, Term, article, say
from shared.domain.wording import Wordings, read_wordings


def policy_words(policy: Policy) -> Wordings:
    """Returns the words of every language, with the terms of that policy over them."""
    wordings = read_wordings()
    return wordings.with_terms(dict(_terms(policy, wordings)))


def _terms(policy: Policy, wordings: Wordings) -> Iterator[tuple[str, Mapping[Language, str]]]:
    """Yields the words of rules, purposes, kinds of data and systems of a policy.

    The company's own words are the same in every language. A rule is shown with its article and whether the law obliges
    us.
    """

    def in_every_language(fact: Fact) -> Mapping[Language, str]:
        return {each: wordings.of(each, "UTC").text(fact) for each in LANGUAGES}

    unknown = Term("ground", COUNTRY_UNKNOWN)
    yield (
        f"ground.{COUNTRY_UNKNOWN}",
        in_every_language(say("kept_by.ground", ground=unknown, article=article("17(3)"))),
    )
    for name, rule in policy.rules.items():
        known = f"ground.{name}" in wordings.keys and says_as_shipped(policy, "rules", name)
        for word in (name, *rule.reported_as):
            ground = Term("ground", name) if known else rule.words
            by = "kept_by.obligation" if rule.ground == "17(3)(b)" else "kept_by.ground"
            yield f"ground.{word}", in_every_language(say(by, ground=ground, article=article(rule.ground)))
    for name, purpose in policy.purposes.items():
        if not says_as_shipped(policy, "purposes", name):
            yield f"purpose.{name}", in_every_language(purpose.words)
    for name, kind in policy.categories.items():
        for word in kind.held_as:
            if f"category.{word}" not in wordings.keys:
                yield f"category.{word}", in_every_language(Term("category", name))
    for name, called in policy.systems.items():
        words = {
            each: wordings.of(each, "UTC").text(say("named.system", name=name_in(each, called))) for each in LANGUAGES
        }
        yield f"system.{name}", words
