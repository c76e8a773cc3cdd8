"""Each right under each condition in a kind of system: the answer, the letters, and the data left."""

import importlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

from tests.acceptance.client import RIGHTS, Person, tasks
from tests.acceptance.events import statuses
from tests.acceptance.pairs import CONDITIONS, COPIES, KINDS, Pair, fulfilled, named, rows, untouched
from tests.acceptance.platforms import Platform
from tests.acceptance.scenario import scenario
from tests.acceptance.systems import NOTHING, Calls, System, Tickets
from tests.fixtures.live import eventually

NOT_ERASURE = tuple(right for right in RIGHTS if right != "erasure")
REFUSED = (
    ("access", "helpdesk"),
    ("portability", "tickets"),
    ("erasure", "billing"),
    ("erasure", "crm"),
    ("rectification", "shop"),
    ("restriction", "archive"),
)
"""Tasks that wait for a decision before anything was changed."""
GIVEN_UP, TAKEN_OVER = datetime(2022, 1, 10, tzinfo=UTC), datetime(2022, 3, 10, tzinfo=UTC)
"""When a number was given up, and when another person got it."""
DAYS = [GIVEN_UP - timedelta(9), GIVEN_UP + timedelta(9), TAKEN_OVER + timedelta(9)]
"""Days of calls: of the former holder, of no one, of the present holder."""
CONTRACT_ENDED = date(2024, 3, 31)
IMMEDIATE = ("objection", "consent_withdrawal")
NO_SUCH_RIGHT: Mapping[str, Sequence[str]] = {
    "withdrawn": IMMEDIATE,  # they need no proof, so none waits to be withdrawn (Art. 21(2), 7(3))
    "second approval": IMMEDIATE,  # nothing may stand in their way
    "refused": IMMEDIATE,  # they cannot be refused (Art. 21(3), 7(3))
    "extended": IMMEDIATE,  # they have hours, and no extension (Art. 21(3), 7(3))
    "question unanswered": IMMEDIATE,  # an objection leads to no question
    "number that changed hands": ("restriction",),  # a call of two people has no mark, so a person restricts it
}
"""The rights to which a condition does not apply, and why."""
NO_SUCH_KIND: Mapping[str, Sequence[str]] = {
    "several people in a row": ("helpdesk", "crm", "billing"),  # each of their rows is about one person
    "number that changed hands": ("helpdesk", "tickets", "billing"),  # they file by an address
    "kept by a rule": ("tickets",),  # no rule of the policy keeps tickets
}
"""The kinds to which a condition does not apply, and why."""


def applying(condition: str) -> tuple[str, ...]:
    return tuple(right for right in RIGHTS if right not in NO_SUCH_RIGHT.get(condition, ()))


def having(condition: str) -> tuple[str, ...]:
    return tuple(kind for kind in KINDS if kind not in NO_SUCH_KIND[condition])


@scenario(rows=[*rows("found", start=0), *named("found", ("consent_withdrawal", "billing"), ("objection", "tickets"))])
async def test_found(platform: Platform, pair: Pair) -> None:
    """A user event asks: what is found is worked, a neighbour keeps everything, ``dsr.status`` names no person.

    The helpdesk says yes to a deletion and does nothing: it is looked at again, and asked once more.
    """
    person, neighbour = platform.new_person(), platform.new_person()
    platform.helpdesk.lies_once.add(person.email)
    system = platform.systems[pair.kind]
    await system.hold(person)
    await system.hold(neighbour)
    before, theirs = await system.held(person), await system.held(neighbour)
    async with platform.emitter("selfcare") as selfcare:
        case = await selfcare.asks(person, pair.right)
        said = await statuses(platform.kafka.bootstrap, case.request_id)
        assert ({each["right"] for each in said}, said[-1]["state"]) == ({pair.right}, "closed")
        assert person.email not in json.dumps(said)
        await fulfilled(platform, pair, person, before, case)
    assert await system.held(neighbour) == theirs


@scenario(rows=rows("nothing found", start=2))
async def test_nothing_found(platform: Platform, pair: Pair) -> None:
    """An unknown person learns that nothing is held, once every system was searched."""
    person, neighbour = platform.new_person(), platform.new_person()
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


@scenario(rows=rows("withdrawn", rights=applying("withdrawn"), start=1))
async def test_withdrawn(platform: Platform, pair: Pair) -> None:
    """A request that is withdrawn before its requester was identified touches nothing."""
    person = platform.new_person()
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


@scenario(rows=rows("several people in a row", kinds=having("several people in a row"), start=1))
async def test_row_of_two_people_changes_for_the_one_who_asked(platform: Platform, pair: Pair) -> None:
    """In a call or ticket of two people, the other's part is neither changed nor handed out (Art. 15(4))."""
    person, other = platform.new_person(), platform.new_person()
    system = platform.systems[pair.kind]
    assert isinstance(system, Calls | Tickets)
    await system.hold(person)
    await system.hold(other)
    await system.hold_shared(person, other)
    before, theirs = await system.held(person), await system.held(other)
    case = await platform.ask(person, pair.right)
    await fulfilled(platform, pair, person, before, case)
    assert await system.shared(person, other) == (pair.right != "erasure", True)
    assert await system.held(other) == theirs
    if pair.right in COPIES:
        assert (await case.package()).mentions(other.name, other.email, other.account_id) == []


@scenario(
    rows=rows(
        "number that changed hands", applying("number that changed hands"), having("number that changed hands"), start=1
    )
)
async def test_number_that_changed_hands_leads_to_calls_of_their_own_time(platform: Platform, pair: Pair) -> None:
    """A former holder gets only the calls of their own time (Art. 5(1)(d), (f))."""
    former, caller = platform.new_person(), platform.new_person()
    successor = replace(platform.new_person(), line=former.phone)
    await platform.crm.hold(former, until=GIVEN_UP)
    await platform.crm.hold(successor, since=TAKEN_OVER)
    system = platform.systems[pair.kind]
    if system is not platform.crm:
        await system.hold(former)
        await system.hold(successor)
    store = platform.archive if pair.kind == "archive" else platform.shop
    for day in DAYS:
        await store.hold_call(caller.phone, former.phone, day)
    await platform.shop.hold_deliveries(successor, 1)  # they have no time, so only the present holder has them
    before, theirs = await system.held(former), await system.held(successor)
    delivered = await platform.shop.deliveries(successor)
    await platform.register_read()
    case = await platform.ask(former, pair.right, "email", "account_id")  # the CRM says which number, and when
    await fulfilled(platform, pair, former, before, case)
    assert await system.held(successor) == theirs
    assert await platform.shop.deliveries(successor) == delivered
    left = [callee for _, _, callee in await store.calls(caller.phone)]
    assert left == ["" if pair.right == "erasure" else former.phone, former.phone, former.phone]
    if pair.right in COPIES:
        called = [each for each in (await case.package()).of(store.name) if "began" in each]
        assert [each["began"][:10] for each in called] == [str(DAYS[0].date())]


async def hold_kept(platform: Platform, kind: str, person: Person) -> None:
    """Enters a person of whom a rule keeps something: a contract, or an invoice for seven years."""
    match kind:
        case "shop":
            await platform.crm.hold(person, contract="ended", contract_ended_on=CONTRACT_ENDED)  # no bill is disputed
            await platform.shop.hold(person)
            await platform.shop.hold_invoice(person, CONTRACT_ENDED)
        case "billing":
            await platform.billing.hold(person, keep_until="2031-12-31")
        case _:
            system: Any = platform.systems[kind]
            await system.hold(person, contract="active")


CONTRACT = ("active_contract", None, "because you have a contract with us")
INVOICE = "until {}, because contracts and invoices are needed for tax purposes"
KEPT: Mapping[str, tuple[str, str | None, str]] = {
    "shop": ("invoices_84m", "2031-03-31", INVOICE.format("31 March 2031")),
    "archive": CONTRACT,
    "helpdesk": CONTRACT,
    "crm": CONTRACT,
    "billing": ("invoices_84m", "2031-12-31", INVOICE.format("31 December 2031")),
}
"""The rule that keeps it in each kind of system, its end, and the words of the letter."""


@scenario(rows=named("kept by a rule", *(("erasure", kind) for kind in KEPT)))
async def test_kept_by_a_rule(platform: Platform, pair: Pair) -> None:
    """Kept data stay, and the letter names the rule and its end (Art. 17(3))."""
    person, neighbour = platform.new_person(), platform.new_person()
    system = platform.systems[pair.kind]
    await hold_kept(platform, pair.kind, person)
    await hold_kept(platform, pair.kind, neighbour)
    before, theirs = await system.held(person), await system.held(neighbour)
    case = await platform.ask(person, "erasure")
    view = await case.closed()
    task, (rule, until, words) = tasks(view)[pair.kind], KEPT[pair.kind]
    assert (view["outcome"], task["outcome"]) == ("partially_fulfilled", "retained")
    assert (task["ground"], task.get("until")) == (rule, until)
    assert words in await case.seen_by(platform.officer).letter("answer")
    if pair.kind == "shop":
        assert await system.held(person) == NOTHING
        assert await platform.shop.invoices(person) == [(CONTRACT_ENDED, 4200, None, True, False)]
        assert await platform.shop.invoices(neighbour) == [(CONTRACT_ENDED, 4200, "paid late", False, False)]
    else:
        assert await system.held(person) == before
    assert await system.held(neighbour) == theirs


@scenario(rows=rows("legal hold", rights=("erasure",), start=0))
async def test_legal_hold_keeps_until_two_people_lift_it(platform: Platform, pair: Pair) -> None:
    """Data under a hold stay until two people lift it (Art. 17(3)(e))."""
    person, neighbour = platform.new_person(), platform.new_person()
    system = platform.systems[pair.kind]
    rest = platform.helpdesk if pair.kind == "tickets" else platform.tickets
    for each in (system, rest):
        await each.hold(person)
        await each.hold(neighbour)
    theirs = await system.held(neighbour)
    hold = await platform.officer.place_hold(person, "ticket" if pair.kind == "tickets" else "account", "invoice")
    case = await platform.ask(person, "erasure")
    view = await case.closed()
    task = tasks(view)[pair.kind]
    assert (view["outcome"], task["outcome"], task["ground"]) == ("partially_fulfilled", "retained", "legal_hold")
    assert "establish, exercise or defend" in await case.seen_by(platform.officer).letter("answer")
    assert ((await system.held(person)).rows, await rest.held(person)) == (1, NOTHING)
    assert not await platform.officer.lift_hold(hold)
    assert not await platform.officer.lift_hold(hold), "the same person twice"
    assert await platform.colleague.lift_hold(hold)

    async def gone() -> bool:
        return await system.held(person) == NOTHING

    await eventually(gone, within=240)
    assert await system.held(neighbour) == theirs


NO_OBSTACLE = rows("legal hold", rights=NOT_ERASURE, start=5)
named("kept by a rule", *((pair.right, pair.kind if pair.kind in KEPT else "helpdesk") for pair in NO_OBSTACLE))


@scenario(rows=NO_OBSTACLE)
async def test_what_keeps_data_from_erasure_is_no_obstacle_to_other_rights(platform: Platform, pair: Pair) -> None:
    """A legal hold and a rule that keeps hold against an erasure, and against no other right."""
    person, neighbour = platform.new_person(), platform.new_person()
    system = platform.systems[pair.kind]
    await hold_kept(platform, pair.kind if pair.kind in KEPT else "helpdesk", person)
    if pair.kind not in KEPT:
        await system.hold(person)
    await system.hold(neighbour)
    before, theirs = await system.held(person), await system.held(neighbour)
    await platform.officer.place_hold(person)
    await fulfilled(platform, pair, person, before, await platform.ask(person, pair.right))
    assert await system.held(neighbour) == theirs


@scenario(rows=rows("second approval", rights=("access", "portability", "erasure"), start=1))
async def test_proof_seen_by_one_officer_counts_once_a_colleague_has_seen_it(platform: Platform, pair: Pair) -> None:
    """A proof entered by officers needs two of them (Art. 5(1)(f), 12(6))."""
    person, neighbour = platform.new_person(), platform.new_person()
    system = platform.systems[pair.kind]
    await platform.crm.hold(person, until=GIVEN_UP)  # the CRM knows by which address and number others have them
    if system is not platform.crm:
        await system.hold(person)
    await system.hold(neighbour)
    before, theirs = await system.held(person), await system.held(neighbour)
    await platform.register_read()
    case = await platform.ask(person, pair.right, "account_id", proved=False)
    await case.until("awaiting_identity")
    officer, colleague = case.seen_by(platform.officer), case.seen_by(platform.colleague)
    seen = {"proofs": [{"identity": "account_id", "method": "in_person"}]}
    assert (await officer.act("verify", **seen))["state"] == "awaiting_identity"
    assert await officer.refused("verify", **seen) == "same_person"
    await untouched(platform, pair, person, before)
    await colleague.act("verify", **seen)
    await fulfilled(platform, pair, person, before, case)
    assert await system.held(neighbour) == theirs


@scenario(
    rows=named(
        "second approval",
        ("erasure", "archive"),
        ("rectification", "shop"),
        ("rectification", "helpdesk"),
        ("restriction", "shop"),
    )
)
async def test_several_accounts_are_changed_once_two_people_confirm(platform: Platform, pair: Pair) -> None:
    person, neighbour = platform.new_person(), platform.new_person()
    system = platform.systems[pair.kind]
    await system.hold(person)
    await system.hold(replace(platform.new_person(), address=person.email))
    await system.hold(neighbour)
    before, theirs = await system.held(person), await system.held(neighbour)
    case = await platform.ask(person, pair.right)
    officer, colleague = case.seen_by(platform.officer), case.seen_by(platform.colleague)
    view = await officer.judged()
    beyond = [(task["system"], task["exceeded"]) for task in view["tasks"] if task.get("exceeded")]
    assert beyond == [(pair.kind, {"limit": "max_people", "found": 2, "allowed": 1})]
    all_theirs = {"system": pair.kind, "limit": "max_people"}
    assert (await officer.act("confirmation", **all_theirs))["state"] == "awaiting_decision"
    assert await officer.refused("confirmation", **all_theirs) == "same_person"
    await untouched(platform, pair, person, before)
    await colleague.act("confirmation", **all_theirs)
    await fulfilled(platform, pair, person, before, case)
    assert await system.held(neighbour) == theirs


@scenario(rows=named("refused", *REFUSED))
async def test_refusal_by_two_people_touches_nothing(platform: Platform, pair: Pair) -> None:
    """A refusal takes two people; its letter has reason, authority and remedy (Art. 12(4), 12(5)(b))."""
    person = platform.new_person()
    relative = replace(platform.new_person(), address=person.email)
    system = platform.systems[pair.kind]
    shares: System = system if pair.kind in {"shop", "archive"} else platform.crm  # where an address is of two people
    await shares.hold(relative)
    for each in dict.fromkeys((shares.name, system.name)):
        await platform.systems[each].hold(person)
    before, theirs = await system.held(person), await shares.held(relative)
    case = await platform.ask(person, pair.right, "email")
    await case.until(lambda view: view["state"] in {"awaiting_decision", "awaiting_clarification"})
    officer, colleague = case.seen_by(platform.officer), case.seen_by(platform.colleague)
    why = {"reason": "MANIFESTLY_UNFOUNDED", "article": "12(5)(b)", "explanation": "It came ten times in a day."}
    await officer.act("decision", decision="refuse", **why)
    assert await officer.refused("decision/approval") == "same_person"
    await colleague.act("decision/approval")
    view = await case.closed()
    assert (view["outcome"], view["package"]) == ("refused", False)
    letter = await officer.letter("answer")
    said = ("manifestly unfounded", "Article 12(5)(b)", why["explanation"], "judicial remedy", "Data Protection Board")
    assert [words for words in said if words not in letter] == []
    await untouched(platform, pair, person, before)
    assert await shares.held(relative) == theirs


def test_every_pair_of_right_kind_and_condition_occurs() -> None:
    modules = [path.stem for path in Path(__file__).parent.glob("test_pairs*.py")]
    for name in modules:
        importlib.import_module(f"tests.acceptance.{name}")
    made = {pair for each in CONDITIONS.values() for pair in each}
    conditions = {pair.condition for pair in made}
    of_law = {(right, condition) for condition, rights in NO_SUCH_RIGHT.items() for right in rights}
    of_kind = {(kind, condition) for condition, kinds in NO_SUCH_KIND.items() for kind in kinds}
    assert {(pair.right, pair.kind) for pair in made} == {*product(RIGHTS, KINDS)}
    assert {(pair.right, pair.condition) for pair in made} == {*product(RIGHTS, conditions)} - of_law
    assert {(pair.kind, pair.condition) for pair in made} == {*product(KINDS, conditions)} - of_kind
