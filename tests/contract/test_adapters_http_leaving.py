"""Data that an erasure leaves in a declared system, by category: under a hold, or while a state lasts."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.domain.errors import (
    AnswerMalformed,
    DataStillPresent,
    GroundUnknown,
    LimitExceeded,
    NotSupported,
    Refused,
    RuleUnsigned,
    WrongPersonMatch,
)
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Change, Limit, Operation, ShownRecord, TaskOutcome
from shared.domain.policy import Policy, read_policy
from shared.systems.contract import Pending, Receipt, Result, Task
from shared.systems.states import ErasureRefused
from tests.contract.http_stands import ADA, Declared, declared, declared_by, task
from tests.contract.one_resource import people
from tests.fixtures.downstream import receipt
from tests.fixtures.engine import SetClock
from tests.fixtures.policy import signed_policy

SIGNED = signed_policy()
KIND = """
[resource.{name}]
category = "{category}"
{found}
erase = [{{ delete = "/{name}/{{id}}", done = [{{ status = 404 }}] }}]
verify = {{ ask = [{{ get = "/{name}/{{id}}", gone = [{{ status = 404 }}] }}], search = true, settle = "1s" }}
"""
OF_USER = """of = "user"
find = {{ get = "/{name}", query = {{ user = "{{user.id}}" }}, records = "found" }}
owner = {{ user = "user.id" }}
{more}"""
STATE = 'refuse_when = [{ path = "state", equals = "active", over = ["ended"], reason = "active_contract" }]'

SWITCHES = """
read = { get = "/{name}/{id}" }
restrict.steps = [{ patch = "/{name}/{id}", body = { usable = false } }]
restrict.seen = [{ path = "usable", equals = false }]
suppress.steps = [{ patch = "/{name}/{id}", body = { mailed = false } }]
suppress.seen = [{ path = "mailed", equals = false }]
"""


def declaration(user: str, deal: str) -> str:
    by_email = 'find = { get = "/user", query = { email = "{email}" }, by = ["email"], records = "found" }\n'
    kinds = [KIND.format(name="user", category=user, found=by_email + 'owner = { email = "email" }')]
    for name, category, more in (("deal", deal, STATE), ("note", "ticket", ""), ("reply", "ticket", "")):
        found = OF_USER.format(name=name, more=more)
        if name == "reply":
            found = found.replace("user", "deal")
        kinds.append(KIND.format(name=name, category=category, found=found))
    return 'auth = { value = "Bearer {HUBSPOT_TOKEN}" }\ncheck = { get = "/me" }\n' + "".join(kinds)


@dataclass
class Desk:
    """Records by kind and ID; ``asked``: those asked to be deleted."""

    records: dict[str, dict[int, dict[str, Any]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    slow: bool = False
    stubborn: bool = False

    def __call__(self, request: httpx.Request) -> httpx.Response:
        _, _, kind, *named = request.url.path.split("/")
        held = self.records[kind]
        if not named:
            asked = dict(request.url.params)
            return httpx.Response(200, json={"found": [r for r in held.values() if self._meets(r, asked)]})
        if request.method == "DELETE":
            self.asked.append(f"{kind} {named[0]}")
            if not self.slow:
                held.pop(int(named[0]), None)
            return httpx.Response(204)
        if request.method == "PATCH" and not self.stubborn:
            held[int(named[0])].update(json.loads(request.content))
        record = held.get(int(named[0]))
        return httpx.Response(404 if record is None else 200, json=record)

    @staticmethod
    def _meets(record: Mapping[str, Any], asked: Mapping[str, str]) -> bool:
        return all(str(record.get(key)) == value for key, value in asked.items())

    @property
    def left(self) -> set[str]:
        """The kinds of which something is there."""
        return {kind for kind, held in self.records.items() if held}


def desk_of(state: str | None = "ended") -> Desk:
    records: dict[str, dict[int, dict[str, Any]]] = {"user": {1: {"id": 1, "email": ADA}}}
    records |= {"deal": {2: {"id": 2, "user": 1, "state": state}}, "note": {3: {"id": 3, "user": 1}}}
    return Desk(records | {"reply": {4: {"id": 4, "deal": 2}}})


@asynccontextmanager
async def connected(
    directory: Path,
    desk: Desk,
    policy: Policy = SIGNED,
    *,
    user: str = "requester",
    deal: str = "ticket",
    switched: Sequence[str] = (),
) -> AsyncIterator[Declared]:
    kinds = declaration(user, deal)
    for name in switched:
        of_kind = f"[resource.{name}]\n"
        kinds = kinds.replace(of_kind, of_kind + SWITCHES.replace("{name}", name))
    (directory / "desk.toml").write_text(kinds)
    transport = httpx.MockTransport(desk)
    async with declared_by(policy, directory / "desk.toml", transport, SetClock(), {}) as engine:
        yield engine


async def both(engine: Declared, **said: Any) -> tuple[Result, Result]:
    """Returns the results of a dry run and of the erasure."""
    erasing = replace(task(), at=engine.clock.now(), **said)
    [planned] = await engine.adapter.plan([replace(erasing, operation=Operation.PLAN)], engine.save_progress)
    [erased] = await engine.erase(erasing)
    return planned, erased


def kept(result: Result) -> dict[str, tuple[str, int]]:
    return {each.category or "": (each.rule, each.count) for each in receipt(result).kept or ()}


ALL = {"user", "deal", "note", "reply"}


@pytest.mark.parametrize(
    ("state", "holds", "said", "stays", "kept_by"),
    [
        ("ended", {}, {}, set(), {}),
        ("ended", {"deal": "contact"}, {"held_categories": frozenset({"contact"})}, {"user", "deal"}, "legal_hold"),
        ("ended", {"user": "contact"}, {"states": {"contract_active": True}}, {"user"}, "active_contract"),
        ("ended", {"user": "contact"}, {"states": {"contract_active": False}}, set(), {}),
        ("active", {"deal": "contact"}, {}, {"user", "deal"}, "active_contract"),
        ("active", {"deal": "contact"}, {"held_categories": frozenset({"contact"})}, {"user", "deal"}, "legal_hold"),
    ],
    ids=["nothing", "a hold", "another tells", "it is over", "it tells itself", "both"],
)
async def test_what_is_kept_stays_with_what_it_lies_below_and_the_rest_goes(
    tmp_path: Path, state: str, holds: dict[str, str], said: dict[str, Any], stays: set[str], kept_by: str
) -> None:
    desk = desk_of(state)
    async with connected(tmp_path, desk, SIGNED, **holds) as engine:
        planned, erased = await both(engine, **said)
    assert desk.left == stays
    assert {each.split()[0] for each in desk.asked} == ALL - stays
    done = receipt(erased)
    assert (done.outcome, done.found, done.changed, done.remaining) == (
        TaskOutcome.RETAINED if stays else TaskOutcome.ERASED,
        4,
        4 - len(stays),
        len(stays),
    )
    assert kept(planned) == kept(erased)
    assert {rule for rule, _ in kept(erased).values()} == ({kept_by} if stays else set())
    assert sum(rows for _, rows in kept(erased).values()) == len(stays)


async def test_repeat_of_a_task_reports_the_same_kept_data(tmp_path: Path) -> None:
    desk = desk_of()
    async with connected(tmp_path, desk, user="contact") as engine:
        erasing = replace(task(), at=engine.clock.now(), held_categories=frozenset({"contact"}))
        first, again = await engine.erase(erasing), await engine.erase(erasing)
    assert first == again
    assert desk.left == {"user"}


@pytest.mark.parametrize(
    ("covers", "state", "stays"),
    [("deal", "ended", {"user": "requester", "deal": "contact"}), ("user", None, {"user": "contact"})],
    ids=["with what it lies below", "what goes is asked no state again"],
)
async def test_hold_placed_between_two_attempts_stops_the_rest(
    tmp_path: Path, covers: str, state: str | None, stays: Mapping[str, str]
) -> None:
    desk = desk_of()
    desk.slow = True
    async with connected(tmp_path, desk, SIGNED, **{covers: "contact"}) as engine:
        erasing = replace(task(), at=engine.clock.now())
        [waits] = await engine.once([erasing])
        assert isinstance(waits, Pending)
        assert {each.split()[0] for each in desk.asked} == {"reply"}, "it waits until that is gone"
        desk.slow, desk.records["deal"][2]["state"] = False, state
        [done] = await engine.erase(replace(erasing, held_categories=frozenset({"contact"})))
    assert desk.left == stays.keys()
    assert kept(done) == dict.fromkeys(stays.values(), ("legal_hold", 1))


@pytest.mark.parametrize(
    ("state", "holds", "said", "failure"),
    [
        (None, {"deal": "contact"}, {}, GroundUnknown),
        ("ended", {"user": "contact"}, {"states": {"contract_active": None}}, GroundUnknown),
        ("active", {}, {}, ErasureRefused),
    ],
    ids=["a record does not say", "no record could say", "no rule keeps it by that"],
)
async def test_where_it_is_not_decided_what_stays_nothing_goes(
    tmp_path: Path, state: str | None, holds: dict[str, str], said: dict[str, Any], failure: type[Exception]
) -> None:
    desk = desk_of(state)
    async with connected(tmp_path, desk, SIGNED, **holds) as engine:
        results = await both(engine, **said)
    assert {type(each) for each in results} == {failure}
    assert (desk.left, desk.asked) == (ALL, [])


@pytest.mark.parametrize(("confirmed", "asks"), [(0, True), (1, False)])
async def test_unsigned_rule_keeps_nothing_after_dual_approval(tmp_path: Path, confirmed: int, *, asks: bool) -> None:
    desk = desk_of()
    async with connected(tmp_path, desk, read_policy(), user="contact") as engine:
        allowed = {Limit.UNSIGNED_ROWS: confirmed}
        _, result = await both(engine, states={"contract_active": True}, confirmed=allowed)
    assert isinstance(result, RuleUnsigned | Receipt)
    assert desk.left == (ALL if asks else set())
    if isinstance(result, RuleUnsigned):
        assert result.exceeded
        assert (result.exceeded.found, result.exceeded.allowed) == (1, 0)
        assert "(contact: 1) are what active_contract is about" in str(result)


async def test_customers_data_are_kept_by_no_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = desk_of()
    monkeypatch.setitem(globals(), "KIND", KIND.replace("search = true, ", ""))
    async with connected(tmp_path, desk, user="contact") as engine:
        held = frozenset({"contact"})
        erasing: Task = replace(task(), tenant="acme", states={"contract_active": True}, held_categories=held)
        await engine.erase(erasing)
    assert desk.left == set()


@pytest.mark.parametrize(
    ("switched", "state", "restricted"),
    [
        (("user", "deal"), "ended", {"contact": 1, "requester": 1}),
        (("deal",), "ended", {"contact": 1, "requester": 0}),
        (("user", "deal"), "active", {"contact": None, "requester": None}),
    ],
    ids=["all of it can", "what it lies below has no way", "an active contract needs it"],
)
async def test_what_a_hold_alone_keeps_is_restricted_and_gets_no_marketing_and_what_is_needed_stays_in_use(
    tmp_path: Path, switched: Sequence[str], state: str, restricted: dict[str, int | None]
) -> None:
    desk = desk_of(state)
    async with connected(tmp_path, desk, deal="contact", switched=switched) as engine:
        erasing = replace(task(), at=engine.clock.now(), held_categories=frozenset({"contact"}))
        first, again = await engine.erase(erasing), await engine.erase(erasing)
    assert first == again
    assert {each.category: each.restricted for each in receipt(first[0]).kept or ()} == restricted
    assert desk.left == {"user", "deal"}
    left = {kind: record for kind in desk.left for record in desk.records[kind].values()}
    off = {kind for kind, record in left.items() if record.get("usable") is False and record.get("mailed") is False}
    assert off == (set(switched) if state == "ended" else set())
    assert off == {kind for kind, record in left.items() if {"usable", "mailed"} & record.keys()}


async def test_a_record_that_does_not_show_its_restriction_is_no_restriction(tmp_path: Path) -> None:
    desk = desk_of()
    desk.stubborn = True
    async with connected(tmp_path, desk, deal="contact", switched=("deal",)) as engine:
        [said] = await engine.erase(replace(task(), at=engine.clock.now(), held_categories=frozenset({"contact"})))
    assert isinstance(said, DataStillPresent)
    assert desk.left == ALL


async def test_marketing_without_a_mark_is_manual(tmp_path: Path) -> None:
    desk = desk_of()
    desk.records |= {"deal": {}, "reply": {}}
    async with connected(tmp_path, desk, switched=("deal",)) as engine:
        [result] = await engine.adapter.amend([task(Operation.SUPPRESS)], engine.save_progress)
    assert isinstance(result, NotSupported), result


async def test_records_kept_below_an_erased_account_do_not_stop_the_erasure(tmp_path: Path) -> None:
    desk = Desk({"user": {9: {"id": 9, "email": ADA}}, "note": {3: {"id": 3, "number": "9"}}})
    by_email = 'find = { get = "/user", query = { email = "{email}" }, by = ["email"], records = "found" }\n'
    by_email += 'owner = { email = "email" }\nyields = { id = "account_id" }\n'
    filed = 'find = { get = "/note", query = { number = "{account_id}" }, by = ["account_id"], records = "found" }\n'
    kinds = [("user", "requester", by_email), ("note", "contact", filed + 'owner = { number = "account_id" }\n')]
    given = "".join(KIND.format(name=name, category=category, found=found) for name, category, found in kinds)
    (tmp_path / "desk.toml").write_text(declaration("requester", "ticket").partition("[resource")[0] + given)
    account = Identity(IdentityType.ACCOUNT_ID, "9", source="saas", level="L2", claimed=True)
    several = {"max_people": 2}
    async with declared_by(SIGNED, tmp_path / "desk.toml", httpx.MockTransport(desk), SetClock(), several) as engine:
        known = (*task().identities, account)
        planned, erased = await both(engine, identities=known, held_categories=frozenset({"contact"}))
    assert (desk.left, kept(planned)) == ({"note"}, {"contact": ("legal_hold", 1)})
    assert kept(erased) == kept(planned)


# Records that an interface cannot erase: a person gets manual steps with IDs only, and the records are verified
# afterwards.
DECLARATION = """
auth = { value = "token {HUBSPOT_TOKEN}" }
check = { get = "/me" }
[resource.user]
category = "contact"
find = { get = "/users", query = { email = "{email}" }, by = ["email"], records = "users" }
owner = { email = "email" }
fields = { id = "T", email = "A" }
by_hand = [{ do = "shred user {id}" }]
verify = { ask = [{ get = "/users/{id}", gone = [{ status = 404 }] }] }
[resource.ticket]
category = "ticket"
of = "user"
find = { get = "/tickets", query = { user = "{user.id}" }, records = "tickets" }
owner = { "people.*.id" = "user.id" }
fields = { id = "T", people = "T" }
by_hand = [
    { when = [{ path = "people.1" }], do = "read ticket {id} of user {user.id}" },
    { do = "shred '{each}'", each = "Ticket,{id}", between = ";" },
]
verify = { ask = [{ get = "/tickets/{id}", gone = [{ status = 404 }] }] }
[resource.message]
category = "message"
of = "ticket"
find = { get = "/messages", query = { ticket = "{ticket.id}" }, records = "messages", foreign = "count" }
owner = { by = "user.id" }
fields = { id = "T", by = "T", ticket = "T" }
by_hand = [{ do = "shred {each}", each = "Message,{id}" }]
verify = { ask = [{ get = "/messages/{id}", gone = [{ status = 404 }] }] }
"""
Records = dict[str, dict[str, dict[str, Any]]]


class Tracker:
    """Users, tickets and messages, which only its administrator can take out."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.records: Records = {"users": {}, "tickets": {}, "messages": {}}

    def add(self, kind: str, number: str, **said: Any) -> None:
        self.records[kind][number] = {"id": number, **said}

    def answer(self, request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == "token secret"
        assert request.method == "GET"
        self.calls.append(request.url.path)
        _, _, kind, *number = request.url.path.split("/")
        if number:
            found = self.records[kind].get(number[0])
            return httpx.Response(200, json=found) if found else httpx.Response(404)
        asked = dict(request.url.params)
        return httpx.Response(200, json={kind: [r for r in self.records[kind].values() if _is(r, asked)]})


def _is(record: dict[str, Any], asked: dict[str, str]) -> bool:
    if "user" in asked:
        return asked["user"] in [each["id"] for each in record["people"]]
    return all(record[name] == value for name, value in asked.items())


@pytest.fixture
def tracker() -> Tracker:
    tracker = Tracker()
    tracker.add("users", "7", email=ADA)
    tracker.add("users", "8", email="ben@example.com")
    for number in ("1", "2"):
        tracker.add("tickets", number, people=[{"id": "7"}])
    tracker.add("tickets", "3", people=[{"id": "8"}, {"id": "7"}])
    tracker.add("messages", "11", ticket="1", by="7")
    tracker.add("messages", "12", ticket="1", by="9")
    tracker.add("messages", "13", ticket="3", by="7")
    return tracker


@pytest.fixture
async def engine(tracker: Tracker, tmp_path: Path) -> AsyncIterator[Declared]:
    (tmp_path / "tracker.toml").write_text(DECLARATION)
    async with declared(tmp_path / "tracker.toml", httpx.MockTransport(tracker.answer), SetClock()) as engine:
        yield engine


async def test_manual_steps_name_ids_and_begin_with_records_below(engine: Declared) -> None:
    [manual] = await engine.once([task()])
    assert isinstance(manual, NotSupported)
    assert manual.manual_steps == (
        "shred Message,11,Message,13",
        "read ticket 3 of user 7",
        "shred 'Ticket,1;Ticket,2'",
        "shred user 7",
    )
    assert "7" not in str(manual)
    assert "says how" in str(manual)


async def test_deleted_rest_is_not_reported_again_and_ends_as_erased(engine: Declared, tracker: Tracker) -> None:
    erasing = task()
    await engine.once([erasing])
    for kind, number in (("messages", "11"), ("tickets", "1"), ("tickets", "2")):
        del tracker.records[kind][number]
    tracker.add("tickets", "4", people=[{"id": "7"}])
    [manual] = await engine.once([erasing])
    assert isinstance(manual, NotSupported)
    assert manual.manual_steps == ("shred Message,13", "read ticket 3 of user 7", "shred 'Ticket,4'", "shred user 7")

    tracker.records["tickets"] = {}
    del tracker.records["users"]["7"]
    [manual] = await engine.once([erasing])
    assert isinstance(manual, NotSupported), "no search finds the message any more, and it is there"
    assert manual.manual_steps == ("shred Message,13",)

    tracker.records["messages"] = {}
    [done] = await engine.once([erasing])
    assert isinstance(done, Receipt), done
    assert (done.outcome, done.by_category) == (TaskOutcome.ERASED, {"contact": 1, "ticket": 4, "message": 2})


async def test_an_id_that_is_none_gets_into_no_command(engine: Declared, tracker: Tracker) -> None:
    tracker.add("tickets", "1'; rm -rf /; '", people=[{"id": "7"}])
    [manual] = await engine.once([task()])
    assert isinstance(manual, AnswerMalformed)


async def test_what_others_have_written_is_counted_and_not_handed_out(engine: Declared) -> None:
    [copied] = await engine.adapter.export([task(Operation.EXPORT)], engine.save_progress)
    assert isinstance(copied, Receipt)
    assert (copied.by_category, copied.written_by_others) == ({"contact": 1, "ticket": 3, "message": 2}, 1)


async def test_what_neither_says_makes_no_record_theirs(tracker: Tracker, tmp_path: Path) -> None:
    unsaid = DECLARATION.replace('by = "user.id"', 'account = "user.account"')
    (tmp_path / "tracker.toml").write_text(unsaid)
    async with declared(tmp_path / "tracker.toml", httpx.MockTransport(tracker.answer), SetClock()) as engine:
        [copied] = await engine.adapter.export([task(Operation.EXPORT)], engine.save_progress)
    assert isinstance(copied, Receipt)
    assert copied.by_category == {"contact": 1, "ticket": 3}


# Another person's records named in the subject's are neither shown nor changed (REQ-N5, REQ-S1).
DECLARATION_CLAIMS = """
auth = { value = "Bearer {HUBSPOT_TOKEN}" }
check = { get = "/me" }
[resource.customer]
category = "contact"
find = { get = "/customers", query = { email = "{email}" }, by = ["email"], records = "found", id = "number" }
owner = { email = "email" }
yields = { number = "account_id" }
fields = { id = "T", number = "A", email = "A" }
[resource.ticket]
category = "contact"
find = { get = "/tickets", query = { email = "{email}" }, by = ["email"], records = "found" }
owner = { email = "email" }
yields = { number = "account_id" }
fields = { id = "T", number = "A", email = "A" }
[resource.call]
category = "contact"
find = { get = "/calls", query = { number = "{account_id}" }, by = ["account_id"], records = "found" }
owner = { number = "account_id" }
fields = { id = "T", number = "A", seconds = "M" }
read = { get = "/calls/{id}" }
erase = [{ delete = "/calls/{id}", done = [{ status = 404 }] }]
verify = { ask = [{ get = "/calls/{id}", gone = [{ status = 404 }] }] }
rectify = { seconds = { path = "seconds", steps = [{ put = "/calls/{id}", body = { seconds = "{asserted}" } }] } }
restrict = { steps = [{ put = "/calls/{id}", body = { hidden = true } }], seen = [{ path = "hidden", equals = true }] }
"""
HELD = {
    "/customers": [{"id": 1, "number": "C-9", "email": ADA}],
    "/tickets": [{"id": 3, "number": "C-1", "email": "mallory@example.com"}],
    "/calls": [{"id": 5, "number": "C-1", "seconds": 60}, {"id": 6, "number": "C-9", "seconds": 61}],
}
"""C-1 is left of an erasure. Mallory has written under C-1."""
DONE = [Operation.LOCATE, Operation.EXPORT, Operation.PLAN, Operation.ERASE, Operation.RECTIFY, Operation.RESTRICT]


@asynccontextmanager
async def shop(folder: Path, written: list[str], declaration: str = DECLARATION_CLAIMS) -> AsyncIterator[Declared]:
    """The interface; ``written``: what of it was changed."""

    def handle(request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api")
        if request.method != "GET":
            written.append(path)
        asked = dict(request.url.params).items()
        return httpx.Response(200, json={"found": [each for each in HELD[path] if asked <= each.items()]})

    (folder / "shop.toml").write_text(declaration)
    async with declared(folder / "shop.toml", httpx.MockTransport(handle), SetClock(), max_people=100) as engine:
        yield engine


async def asked(engine: Declared, operation: Operation, identities: Sequence[Identity], confirmed: int = 0) -> Result:
    """Returns the result of one task of the person with these identities."""
    record = ShownRecord(category="contact", fields={"seconds": 60})
    changes = (Change(field="seconds", asserted="1", record=record),) if operation is Operation.RECTIFY else ()
    limits: dict[str, int] = {Limit.MAX_PEOPLE: confirmed} if confirmed else {}
    about = replace(task(operation), identities=tuple(identities), changes=changes, confirmed=limits)
    match operation:
        case Operation.ERASE:
            return (await engine.once([about]))[0]
        case Operation.LOCATE | Operation.EXPORT | Operation.PLAN:
            results: Sequence[Result] = await getattr(engine.adapter, operation)([about], engine.save_progress)
            return results[0]
        case _:
            return await engine.once_amended(about)


def known(address: str, account: str = "", *, claimed: bool = True) -> list[Identity]:
    number = Identity(IdentityType.ACCOUNT_ID, account, source="saas", level="L2", claimed=claimed)
    return [Identity(IdentityType.EMAIL, address, level="L2"), *([number] if account else [])]


@pytest.mark.parametrize("operation", DONE)
@pytest.mark.parametrize("who", ["mallory@example.com", "eve@example.com"], ids=["in it", "elsewhere"])
async def test_named_account_alone_yields_none_of_its_records(tmp_path: Path, operation: Operation, who: str) -> None:
    written: list[str] = []
    async with shop(tmp_path, written) as engine:
        result = await asked(engine, operation, known(who, "C-1"))
    assert isinstance(result, LimitExceeded), result
    assert result.exceeded
    assert (result.exceeded.limit, result.exceeded.found, written) == (Limit.MAX_PEOPLE, 2, [])


async def test_account_record_two_people_or_a_proof_decide_whose_they_are(tmp_path: Path) -> None:
    async with shop(tmp_path, []) as engine:
        stopped = await asked(engine, Operation.LOCATE, known("mallory@example.com"))
        assert isinstance(stopped, LimitExceeded), "what a ticket names is followed no further"
        ada = await asked(engine, Operation.LOCATE, known(ADA))
        assert isinstance(ada, Receipt), ada
        assert (ada.found, {each.value for each in ada.identities}) == (2, {"C-9"})
        for identities, confirmed, found in (
            (known(ADA, "C-9"), 0, 2),
            (known("mallory@example.com", "C-1"), 2, 2),
            (known("mallory@example.com", "C-1", claimed=False), 0, 2),
        ):
            copied = await asked(engine, Operation.EXPORT, identities, confirmed)
            assert isinstance(copied, Receipt), copied
            assert copied.found == found


NAMED = DECLARATION_CLAIMS.replace(', id = "number"', "")


@pytest.mark.parametrize(
    ("declaration", "left"),
    [(DECLARATION_CLAIMS, ()), (NAMED, ("call",))],
    ids=["its id", "named"],
)
async def test_own_record_confirms_its_account(tmp_path: Path, declaration: str, left: Sequence[str]) -> None:
    async with shop(tmp_path, [], declaration) as engine:
        result = await asked(engine, Operation.EXPORT, known(ADA, "C-9"))
        assert isinstance(result, LimitExceeded if left else Receipt), result
        assert engine.adapter.can.unconfirmed_accounts == left


# Whose a record is where it tells itself what it must agree with: a register yields the account in the same answer.
WITH_OWNERS = """
auth = { value = "Bearer {HUBSPOT_TOKEN}" }
check = { get = "/me" }
[resource.person]
category = "contact"
find = [
    { get = "/people", query = { email = "{email}" }, by = ["email"], records = "people" },
    { get = "/people", query = { account = "{account_id}" }, by = ["account_id"], records = "people" },
]
owner = { OWNER }
yields = { account = "account_id" }
fields = { id = "T", email = "A", account = "A" }
"""
BOTH, ACCOUNT_ALONE = 'email = "email", account = "account_id"', 'account = "account_id"'
ACCOUNT = IdentityType.ACCOUNT_ID
MINE = {"id": 7, "email": ADA, "account": "A-1"}
EVE = {"id": 8, "email": "eve@example.com", "account": "A-1"}
ADDRESS = Identity(IdentityType.EMAIL, ADA)


async def located(
    directory: Path, *known: Identity, register: list[Mapping[str, Any]], owner: str = BOTH, fuzzy: bool = False
) -> Result:
    """Locates a person in a register; ``fuzzy``: its search returns all people."""
    (directory / "register.toml").write_text(WITH_OWNERS.replace("OWNER", owner))

    def handle(request: httpx.Request) -> httpx.Response:
        asked = dict(request.url.params)
        return people(*(each for each in register if fuzzy or asked.items() <= each.items()))

    async with declared(directory / "register.toml", httpx.MockTransport(handle), SetClock()) as engine:
        asking = replace(task(Operation.LOCATE), identities=known)
        return (await engine.adapter.locate([asking], engine.save_progress))[0]


@pytest.mark.parametrize("claimed", [False, True])
async def test_account_in_ones_own_record_is_ones_own(tmp_path: Path, *, claimed: bool) -> None:
    claims = [Identity(ACCOUNT, "A-9", source="desk", claimed=True)] if claimed else []
    found = await located(tmp_path, ADDRESS, *claims, register=[MINE])
    assert isinstance(found, Receipt), found
    assert (found.found, {(each.type, each.value) for each in found.identities}) == (1, {(ACCOUNT, "A-1")})


@pytest.mark.parametrize(
    ("known", "register", "more"),
    [
        ((ADDRESS, Identity(ACCOUNT, "A-2")), [MINE], {}),
        ((ADDRESS,), [MINE, EVE], {"fuzzy": True}),
        ((ADDRESS,), [MINE, EVE], {}),
        ((ADDRESS,), [MINE], {"owner": ACCOUNT_ALONE}),
        ((ADDRESS,), [{**MINE, "account": None}], {}),
        ((replace(ADDRESS, shared=True),), [MINE], {}),
    ],
    ids=["another account", "another address", "one account of two", "nothing agrees", "no account", "others have it"],
)
async def test_a_record_that_contradicts_or_that_nothing_shows_to_be_theirs_is_not_taken(
    tmp_path: Path, known: tuple[Identity, ...], register: list[Mapping[str, Any]], more: dict[str, Any]
) -> None:
    found = await located(tmp_path, *known, register=register, **more)
    assert isinstance(found, Refused)
    assert isinstance(found, WrongPersonMatch)
    assert "eve" not in str(found)
