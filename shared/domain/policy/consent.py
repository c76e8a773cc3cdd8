"""What follows when consent to some purposes is withdrawn (Art. 7(3), 17(1)(b)); pure."""

from collections.abc import Collection
from dataclasses import dataclass

from shared.domain.policy.policy import Policy


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """What stops: ``marketing``: with these the last of direct marketing; ``ends``: what was kept for them alone goes.

    ``concerns``: what is processed for them by consent and for others besides, so that it stays and is no longer used
    for them. Each as systems name what they hold.
    """

    marketing: bool
    ends: frozenset[str]
    concerns: frozenset[str]


def withdrawal(policy: Policy, purposes: Collection[str], before: Collection[str] = ()) -> Withdrawal:
    """What the withdrawal of consent to these purposes comes to; ``before``: to what else they consent no more.

    What several consents keep ends with the last of them, and so does marketing as a whole: a list and a mark that stop
    all of it are no answer to somebody who still wants some.
    """
    withdrawn = frozenset(purposes)
    all_of_it = withdrawn | frozenset(before)
    concerned = {name: each for name, each in policy.categories.items() if each.consents & withdrawn}
    ending = {name for name, each in concerned.items() if each.by_consent_alone and each.consents <= all_of_it}
    used = frozenset().union(*(each.purposes for each in policy.categories.values()))
    direct = frozenset(name for name, each in policy.purposes.items() if each.direct_marketing and name in used)
    named = {name: each.held_as | {name} for name, each in concerned.items()}
    return Withdrawal(
        marketing=bool(withdrawn & direct) and direct <= all_of_it,
        ends=frozenset().union(*(named[name] for name in ending)),
        concerns=frozenset().union(*(named[name] for name in concerned.keys() - ending)),
    )
