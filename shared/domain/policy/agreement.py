"""What in the policy cannot hold together with the rest of it; pure."""

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from shared.domain.policy.rules import Ceiling, Rule


class Disagreement(NamedTuple):
    """Two parts of the policy that cannot both hold: the table in which one stands, and what to write instead."""

    place: tuple[str, ...]
    says: str


def strange_words(
    states: Collection[str], anchors: Collection[str], rules: Mapping[str, Rule], ceilings: Mapping[str, Ceiling]
) -> Iterator[Disagreement]:
    """States and anchors of rules and ceilings that are a slip, since no system would ever tell them."""
    lasting = [("rules", name, "lasts_while", each.lasts_while) for name, each in rules.items()]
    begins = [("rules", name, "anchor", each.anchor) for name, each in rules.items()]
    begins += [("ceilings", name, "anchor", each.anchor) for name, each in ceilings.items()]
    for where, known, used in (("states", states, lasting), ("anchors", anchors, begins)):
        for table, name, key, word in used:
            if word is not None and word not in known:
                said = f"no system tells {word}: write one of {', '.join(sorted(known))}, or declare {where}.{word}"
                yield Disagreement((table, name, key), said)
