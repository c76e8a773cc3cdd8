"""Each right under each condition, each in a kind of system: what is answered, what is sent, and what is there then."""

from tests.acceptance.client import RIGHTS, tasks
from tests.acceptance.pairs import CONDITIONS, KINDS, Pair, fulfilled, rows, untouched
from tests.acceptance.platforms import Platform
from tests.acceptance.scenario import scenario
from tests.acceptance.systems import NOTHING

NEED_PROOF = tuple(right for right in RIGHTS if right not in {"objection", "consent_withdrawal"})
"""Who objects to marketing proves nothing (Art. 21(2)), so that no such request waits to be withdrawn."""


@scenario(rows=rows("found"))
async def test_found(platform: Platform, pair: Pair) -> None:
    """What is found is worked, a neighbour keeps everything, and the person has a letter."""
    person, neighbour = platform.somebody(), platform.somebody()
    system = platform.systems[pair.kind]
    await system.hold(person)
    await system.hold(neighbour)
    before, theirs = await system.held(person), await system.held(neighbour)
    await fulfilled(platform, pair, person, before, await platform.ask(person, pair.right))
    assert await system.held(neighbour) == theirs


@scenario(rows=rows("nothing found"))
async def test_nothing_found(platform: Platform, pair: Pair) -> None:
    """Somebody unknown is told that nothing is held about them, once every system was searched."""
    person, neighbour = platform.somebody(), platform.somebody()
    system = platform.systems[pair.kind]
    await system.hold(neighbour)
    theirs = await system.held(neighbour)
    case = await platform.ask(person, pair.right)
    view = await case.closed()
    about_marketing = pair.right in {"objection", "consent_withdrawal"}  # the list of objections is filled all the same
    assert view["outcome"] == ("fulfilled" if about_marketing else "no_data"), view["answer"]
    assert tasks(view)[pair.kind]["found"] == 0
    assert await system.held(person) == NOTHING
    assert await system.held(neighbour) == theirs
    await platform.answered(case)


@scenario(rows=rows("withdrawn", rights=NEED_PROOF))
async def test_withdrawn(platform: Platform, pair: Pair) -> None:
    """A request that is withdrawn before its requester was identified touches nothing."""
    person = platform.somebody()
    system = platform.systems[pair.kind]
    await system.hold(person)
    before = await system.held(person)
    case = await platform.ask(person, pair.right, proved=False)
    await case.until("awaiting_identity")
    await case.act("withdraw")
    view = await case.closed()
    assert view["outcome"] == "withdrawn"
    await untouched(platform, pair, person, before)
    assert await case.refused("withdraw") == "illegal_transition"


def test_every_pair_of_right_kind_and_condition_occurs() -> None:
    made = [pair for each in CONDITIONS.values() for pair in each]
    assert {(pair.right, pair.kind) for pair in made} == {(right, kind) for right in RIGHTS for kind in KINDS}
