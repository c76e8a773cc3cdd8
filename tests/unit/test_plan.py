"""The order of downstreams: what yields identities is located first and erased last."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.errors import Misconfigured
from shared.domain.identities import IdentityType
from shared.domain.operations import Operation, Step
from shared.downstreams.plan import System, only, stages

EMAIL, PHONE, ACCOUNT = IdentityType.EMAIL, IdentityType.PHONE, IdentityType.ACCOUNT_ID


def system(name: str, needs: set[IdentityType], yields: set[IdentityType] | None = None) -> System:
    return System(name, frozenset(needs), frozenset(yields or set()))


CRM = system("crm", {EMAIL, PHONE}, {ACCOUNT, PHONE})
CDR = system("cdr", {PHONE})
TICKETING = system("ticketing", {EMAIL})
BILLING = system("billing", {ACCOUNT}, {IdentityType.SIP_URI})
SWITCH = system("switch", {IdentityType.SIP_URI})


def names(systems: list[System], operation: Operation) -> list[set[str]]:
    return [{f"{step.system}:{step.operation}" for step in stage} for stage in stages(systems, operation)]


def test_what_yields_is_located_first_and_erased_last() -> None:
    assert names([CDR, CRM, TICKETING], Operation.ERASE) == [
        {"crm:locate"},
        {"cdr:erase", "ticketing:erase"},
        {"crm:erase"},
    ]


def test_a_chain_of_needs_is_walked_down_and_back_up() -> None:
    assert names([SWITCH, BILLING, CRM], Operation.ERASE) == [
        {"crm:locate"},
        {"billing:locate"},
        {"switch:erase"},
        {"billing:erase"},
        {"crm:erase"},
    ]


@pytest.mark.parametrize("operation", [o for o in Operation if o not in {Operation.ERASE, Operation.LOCATE}])
def test_for_any_other_operation_what_yields_simply_goes_first(operation: Operation) -> None:
    assert names([CDR, CRM], operation) == [{f"crm:{operation}"}, {f"cdr:{operation}"}]


def test_systems_that_feed_nobody_are_worked_side_by_side() -> None:
    assert names([CDR, TICKETING], Operation.ERASE) == [{"cdr:erase", "ticketing:erase"}]


def test_a_circle_of_needs_is_one_stage() -> None:
    one, other = system("one", {EMAIL}, {PHONE}), system("other", {PHONE}, {EMAIL})
    assert names([one, other], Operation.ERASE) == [{"one:erase", "other:erase"}]


def test_no_system_means_no_stage() -> None:
    assert stages([], Operation.ERASE) == ()


kinds = st.frozensets(st.sampled_from(IdentityType))
systems = st.lists(st.tuples(kinds, kinds), max_size=7).map(
    lambda pairs: [System(f"s{n}", needs, yields) for n, (needs, yields) in enumerate(pairs)]
)


@given(systems)
def test_every_system_is_erased_exactly_once_and_located_before_it_at_most_once(declared: list[System]) -> None:
    steps = [step for stage in stages(declared, Operation.ERASE) for step in stage]
    erased = [step.system for step in steps if step.operation is Operation.ERASE]
    located = [step.system for step in steps if step.operation is Operation.LOCATE]
    assert sorted(erased) == sorted(each.name for each in declared)
    assert len(set(located)) == len(located)
    for name in located:
        places = [step.operation for step in steps if step.system == name]
        assert places == [Operation.LOCATE, Operation.ERASE]


@given(systems)
def test_who_is_found_through_a_located_system_is_erased_between_its_location_and_its_erasure(
    declared: list[System],
) -> None:
    place = {step: number for number, stage in enumerate(stages(declared, Operation.ERASE)) for step in stage}
    for giver in declared:
        located = place.get(Step(giver.name, Operation.LOCATE))
        for taker in declared:
            adds = giver.yields & taker.needs and not taker.yields >= giver.yields
            if located is not None and adds and taker is not giver:
                erased = place[Step(taker.name, Operation.ERASE)]
                assert located < erased < place[Step(giver.name, Operation.ERASE)]


def test_some_systems_alone_are_erased_in_their_order_and_nobody_is_located_again() -> None:
    planned = stages([CDR, CRM, TICKETING], Operation.ERASE)
    assert only(planned, frozenset({"crm", "cdr"}), Operation.ERASE) == (
        (Step("cdr", Operation.ERASE),),
        (Step("crm", Operation.ERASE),),
    )
    assert only(planned, frozenset({"ticketing"}), Operation.ERASE) == ((Step("ticketing", Operation.ERASE),),)


def test_a_system_that_is_not_planned_for_is_named() -> None:
    with pytest.raises(Misconfigured, match="erase: archive"):
        only(stages([CDR], Operation.ERASE), frozenset({"cdr", "archive"}), Operation.ERASE)
