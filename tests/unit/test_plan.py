"""The order of downstreams: what yields identities is located first and erased last."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.errors import Misconfigured
from shared.domain.identities import IdentityType
from shared.domain.operations import ANSWERING, Operation, Step
from shared.fulfilment.fulfilments import chosen, if_it_does
from shared.systems.capabilities import Capabilities
from shared.systems.downstream import Downstream
from shared.systems.plan import restricted_stages, stages
from tests.fixtures.engine import ScriptedSystem

EMAIL, PHONE, ACCOUNT = IdentityType.EMAIL, IdentityType.PHONE, IdentityType.ACCOUNT_ID


def system(name: str, needs: set[IdentityType], yields: set[IdentityType] | None = None) -> Downstream:
    return Downstream(name, frozenset(needs), frozenset(yields or set()))


CRM = system("crm", {EMAIL, PHONE}, {ACCOUNT, PHONE})
CDR = system("cdr", {PHONE})
TICKETING = system("ticketing", {EMAIL})
BILLING = system("billing", {ACCOUNT}, {IdentityType.SIP_URI})
SWITCH = system("switch", {IdentityType.SIP_URI})


ONE, OTHER = system("one", {EMAIL}, {PHONE}), system("other", {PHONE}, {EMAIL})
REGISTER, SHOP = system("register", {PHONE}, {PHONE}), system("shop", {EMAIL}, {PHONE})


@pytest.mark.parametrize(
    ("systems", "order"),
    [
        ([], ""),
        ([CDR, CRM, TICKETING], "locate crm; erase cdr, ticketing; erase crm"),
        ([SWITCH, BILLING, CRM], "locate crm; locate billing; erase switch; erase billing; erase crm"),
        ([CDR, TICKETING], "erase cdr, ticketing"),
        ([ONE, OTHER], "locate one, other; locate one, other; erase one, other"),
        ([REGISTER, SHOP], "locate shop; locate register; erase register; erase shop"),
        ([CRM], "locate crm; erase crm"),
        ([system("names", {EMAIL}, {IdentityType.NAME})], "erase names"),
    ],
    ids=["none", "yields", "a chain", "independent", "a circle", "yields no more", "alone", "yields a name"],
)
def test_what_yields_is_located_first_and_erased_last(systems: list[Downstream], order: str) -> None:
    planned = stages(systems, Operation.ERASE)
    steps = [f"{stage[0].operation} {', '.join(sorted(step.system for step in stage))}" for stage in planned]
    assert "; ".join(steps) == order


@pytest.mark.parametrize("operation", sorted({*Operation} - {Operation.ERASE, Operation.LOCATE, Operation.LIFT}))
def test_yielding_systems_are_located_first_and_then_all_run_in_parallel(operation: Operation) -> None:
    assert stages([CDR, CRM], operation) == (
        (Step("crm", Operation.LOCATE),),
        (Step("cdr", operation), Step("crm", operation)),
    )
    assert stages([CDR, TICKETING], operation) == ((Step("cdr", operation), Step("ticketing", operation)),)


def test_restriction_is_lifted_without_locating() -> None:
    assert stages([CDR, CRM], Operation.LIFT) == ((Step("cdr", Operation.LIFT), Step("crm", Operation.LIFT)),)


kinds = st.frozensets(st.sampled_from(IdentityType))
systems = st.lists(st.tuples(kinds, kinds), max_size=7).map(
    lambda pairs: [Downstream(f"s{n}", needs, yields) for n, (needs, yields) in enumerate(pairs)]
)


@given(systems, st.sampled_from([Operation.ERASE, Operation.EXPORT]))
def test_each_system_is_worked_once_after_locating(declared: list[Downstream], operation: Operation) -> None:
    planned = stages(declared, operation)
    steps = [step for stage in planned for step in stage]
    assert sorted(step.system for step in steps if step.operation is operation) == sorted(s.name for s in declared)
    for name in {step.system for step in steps}:
        places = [step.operation for step in steps if step.system == name]
        assert places == [*[Operation.LOCATE] * (len(places) - 1), operation]
        assert len(places) - 1 <= len(declared)
    assert all(planned)


@given(systems, st.sets(st.integers(0, 6)), st.sampled_from(sorted(ANSWERING)))
def test_yielded_identities_are_known_first(
    declared: list[Downstream], knowing: set[int], operation: Operation
) -> None:
    doing = [each for number, each in enumerate(declared) if number not in knowing]
    planned = stages(doing, operation, declared)
    place = {step: number for number, stage in enumerate(planned) for step in stage if step.operation is operation}
    located = {s.system: n for n, stage in enumerate(planned) for s in stage if s.operation is Operation.LOCATE}
    assert {step.system for step in place} == {each.name for each in doing}, "systems that only locate do nothing"
    for giver in declared:
        for taker in doing:
            tells = giver.yields if giver is not taker else giver.yields - {IdentityType.NAME}
            if tells & taker.needs:
                assert located[giver.name] < place[Step(taker.name, operation)]


@pytest.mark.parametrize("operation", sorted(ANSWERING))
def test_unconcerned_system_is_located_if_it_leads_to_a_concerned_one(operation: Operation) -> None:
    far, near, apart = system("far", {PHONE}, {EMAIL}), system("near", {EMAIL}, {ACCOUNT}), system("apart", {EMAIL})
    planned = stages([BILLING], operation, [far, near, apart, BILLING])
    assert [[(step.system, step.operation) for step in stage] for stage in planned] == [
        [("far", Operation.LOCATE)],
        [("near", Operation.LOCATE)],
        *([[("billing", Operation.LOCATE)]] if operation in {Operation.ERASE, Operation.SUPPRESS} else []),
        [("billing", operation)],
    ]


def test_nothing_is_located_without_a_system_to_work() -> None:
    planned = stages([BILLING], Operation.RECTIFY, [CRM, BILLING])
    assert if_it_does(Operation.RECTIFY, planned) == planned
    assert if_it_does(Operation.RECTIFY, chosen(planned, {"crm"})) == ()


def test_where_what_a_system_yields_leads_to_nothing_it_is_located_for_an_erasure_alone() -> None:
    alone = system("alone", {EMAIL}, {ACCOUNT})
    assert stages([alone, TICKETING], Operation.EXPORT, [alone, TICKETING]) == (
        (Step("alone", Operation.EXPORT), Step("ticketing", Operation.EXPORT)),
    )
    assert stages([alone], Operation.ERASE)[0] == (Step("alone", Operation.LOCATE),)


@given(systems)
def test_yielding_system_is_erased_last_unless_mutual(declared: list[Downstream]) -> None:
    planned = stages(declared, Operation.ERASE)
    times = Counter(step.system for stage in planned for step in stage if step.operation is Operation.LOCATE)
    place = {s.system: n for n, stage in enumerate(planned) for s in stage if s.operation is Operation.ERASE}
    for giver in declared:
        for taker in declared:
            if giver is not taker and giver.yields & taker.needs and times[giver.name] == 1:
                assert place[taker.name] < place[giver.name]


def test_selected_systems_are_erased_in_order_without_locating_again() -> None:
    planned = stages([CDR, CRM, TICKETING], Operation.ERASE)
    assert restricted_stages(planned, frozenset({"crm", "cdr"}), Operation.ERASE) == (
        (Step("cdr", Operation.ERASE),),
        (Step("crm", Operation.ERASE),),
    )
    assert restricted_stages(planned, frozenset({"ticketing"}), Operation.ERASE) == (
        (Step("ticketing", Operation.ERASE),),
    )


def test_a_system_that_is_not_planned_for_is_named() -> None:
    with pytest.raises(Misconfigured, match="erase: archive"):
        restricted_stages(stages([CDR], Operation.ERASE), frozenset({"cdr", "archive"}), Operation.ERASE)


class Refusing:
    """An adapter that can do everything, and may refuse an erasure."""

    can = Capabilities(may_refuse=True)

    async def close(self) -> None:
        """Nothing to close."""

    async def _do(self, tasks: object, save_progress: object) -> list[object]:
        del tasks, save_progress
        return []

    locate = erase = plan = _do


@given(systems, st.sets(st.integers(0, 6)))
def test_nothing_is_erased_before_all_vetoes_were_asked(declared: list[Downstream], refusing: set[int]) -> None:
    asked = [replace(each, adapter=Refusing()) if number in refusing else each for number, each in enumerate(declared)]
    planned = stages(asked, Operation.ERASE)
    verbs = [step.operation for stage in planned for step in stage]
    assert {step.system for stage in planned for step in stage if step.operation is Operation.PLAN} == {
        each.name for each in asked if each.may_refuse
    }
    first = verbs.index(Operation.ERASE) if Operation.ERASE in verbs else len(verbs)
    assert Operation.PLAN not in verbs[first:]


def test_who_tells_a_state_is_asked_before_who_keeps_by_it_and_tells_another() -> None:
    class Telling(Refusing):
        def __init__(self, state: str) -> None:
            self.can = Capabilities(may_refuse=True, states=frozenset({state}))

    crm = replace(CRM, adapter=Telling("disputed"))
    shop = replace(SHOP, adapter=Telling("contract_active"), states_from_others=frozenset({"disputed"}))
    billing = replace(BILLING, adapter=Refusing(), states_from_others=frozenset({"contract_active"}))
    planned = stages([billing, shop, crm], Operation.ERASE)
    asked = [[step.system for step in stage] for stage in planned if stage[0].operation is Operation.PLAN]
    assert asked == [["crm"], ["shop"], ["billing"]]


@pytest.mark.parametrize("operation", [Operation.EXPORT, Operation.ERASE, Operation.RESTRICT, Operation.SUPPRESS])
def test_system_that_may_disprove_an_account_is_located_first(operation: Operation) -> None:
    weighs: Any = ScriptedSystem("any", checks_claimed_accounts=True)
    desk = system("desk", {EMAIL}, {ACCOUNT})
    shop = replace(system("shop", {EMAIL, ACCOUNT}), adapter=weighs)
    calls = replace(system("calls", {ACCOUNT}), adapter=weighs)
    located = {"desk": True, "shop": True, "calls": False}
    for systems, knowing in (([desk, shop, calls], []), ([desk, calls], [desk, shop])):
        planned = stages(systems, operation, knowing)
        before = [step for stage in planned for step in stage if step.operation is Operation.LOCATE]
        assert {name: Step(name, Operation.LOCATE) in before for name in located} == located
    assigned = stages([replace(desk, assigns=True), shop], operation)
    assert Step("shop", Operation.LOCATE) not in [step for stage in assigned for step in stage]
