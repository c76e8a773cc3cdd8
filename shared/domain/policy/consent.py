"""What follows when consent to some purposes is withdrawn (Art. 7(3), 17(1)(b)); pure."""

from collections.abc import Collection
from dataclasses import dataclass

from shared.domain.policy.policy import Policy


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """What stops: ``marketing``: direct marketing is one of the purposes; ``ends``: what was kept for them alone goes.

    ``concerns``: what is processed for them by consent and for others besides, so that it stays and is no longer used
    for them. Each as systems name what they hold.
    """

    marketing: bool
    ends: frozenset[str]
    concerns: frozenset[str]


def withdrawal(policy: Policy, purposes: Collection[str], before: Collection[str] = ()) -> Withdrawal:
    """What the withdrawal of consent to these purposes comes to; ``before``: to what else they consent no more.

    What several consents keep ends with the last of them.
    """
    withdrawn = frozenset(purposes)
    all_of_it = withdrawn | frozenset(before)
    concerned = {name: each for name, each in policy.categories.items() if each.consents & withdrawn}
    ending = {name for name, each in concerned.items() if each.by_consent_alone and each.consents <= all_of_it}
    named = {name: each.held_as | {name} for name, each in concerned.items()}
    return Withdrawal(
        marketing=any(policy.purposes[each].direct_marketing for each in withdrawn),
        ends=frozenset().union(*(named[name] for name in ending)),
        concerns=frozenset().union(*(named[name] for name in concerned.keys() - ending)),
    )
