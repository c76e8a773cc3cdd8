"""What of a subject's records an erasure leaves as it is, and why it may do nothing at all; nothing is changed."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from functools import partial

from shared.domain.errors import Refused
from shared.domain.operations import Kept
from shared.domain.policy import Policy
from shared.downstreams import leaving
from shared.downstreams.contract import States, Task
from shared.downstreams.http import refusing
from shared.downstreams.http.declaration import Declaration
from shared.downstreams.http.search import Hit

Key = tuple[str, str]
"""A record: of which resource, under which id."""
Stays = Mapping[Key, str]
"""Which records stay, each by which rule."""


def told(declaration: Declaration, hits: Collection[Hit]) -> list[refusing.Told]:
    """What they say of the states that their resources declare."""
    return refusing.told((hit.resource, hit.record, declaration.resource[hit.resource].refuse_when) for hit in hits)


def states_of(declaration: Declaration, hits: Collection[Hit]) -> States | None:
    """Which states of the policy last by what was found; None where none is declared."""
    declared = (each for of in declaration.resource.values() for each in of.refuse_when)
    return refusing.states(declared, told(declaration, hits))


def staying(declaration: Declaration, policy: Policy, task: Task, hits: Collection[Hit]) -> Stays:
    """Which of them stay, with what they lie below.

    Raises:
        ErasureRefused: a record is in a state in which nothing of theirs goes.
        GroundUnknown: it does not say whether it is, or nobody can tell a state by which something would stay.
        RuleUnsigned: nobody has signed a rule by which something would stay.
    """
    said, own = told(declaration, hits), states_of(declaration, hits)
    held = {name: each.category for name, each in declaration.resource.items()}
    ours = task.tenant is None
    try:
        if refusal := refusing.refusal(task.system, said, lambda n, word: ours and word in policy.lasting(held[n])):
            raise refusal
        speaking = {hit.key: _speaking(declaration, hit) for hit in hits}
        left = leaving.left(policy, task, Counter(speaking.values()))
        kept = {key: left[each] for key, each in speaking.items() if each in left}
        for hit in hits:
            stays = partial(_stays, policy, held, kept.get(hit.key))
            if refusal := refusing.refusal(task.system, told(declaration, [hit]), stays):
                raise refusal
    except Refused as refused:
        refused.states = own
        raise
    above = {hit.key: hit.above for hit in hits}
    return leaving.with_what_leads_there(kept, lambda key: _up(above.get(key)))


def _stays(policy: Policy, held: Mapping[str, str], rule: str | None, resource: str, word: str | None) -> bool:
    return leaving.keeps_by(policy, held[resource], rule, word)


def _speaking(declaration: Declaration, hit: Hit) -> leaving.Speaking:
    resource = declaration.resource[hit.resource]
    says = refusing.states(resource.refuse_when, told(declaration, [hit])) or {}
    return leaving.Speaking(hit.resource, resource.category, tuple(says.items()))


def kept(declaration: Declaration, stays: Stays) -> tuple[Kept, ...]:
    """What is told of them."""
    return leaving.kept((declaration.resource[name].category, rule) for (name, _), rule in stays.items())


def _up(hit: Hit | None) -> Iterator[Key]:
    while hit is not None:
        yield hit.key
        hit = hit.above
