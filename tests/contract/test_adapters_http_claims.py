"""What a record of a declared interface names is not told or done for whoever has written it (REQ-N5, REQ-S1)."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.domain.errors import BlastRadius, ForeignHit, Misconfigured, Refused
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Change, Limit, Operation, ShownRecord
from shared.downstreams.contract import Receipt, Result
from shared.downstreams.http.declaration import read_declaration
from tests.contract.http_stands import ADA, Declared, declared, task
from tests.contract.one_resource import people
from tests.fixtures.engine import SetClock

DECLARATION = """
auth = { kind = "bearer", token_env = "HUBSPOT_TOKEN" }
check = { get = "/me" }
[resource.customer]
category = "contact"
find = { get = "/customers", query = { email = "{email}" }, by = ["email"], records = "found" }
owner = { email = "email" }
yields = { number = "account_id" }
person = "number"
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
"""C-1 is what an erasure has left of somebody. Mallory has written under C-1."""
DONE = [Operation.LOCATE, Operation.EXPORT, Operation.PLAN, Operation.ERASE, Operation.RECTIFY, Operation.RESTRICT]


@asynccontextmanager
async def shop(folder: Path, written: list[str], declaration: str = DECLARATION) -> AsyncIterator[Declared]:
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
    """The result of one task of whoever is known by these."""
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
async def test_who_has_named_an_account_gets_none_of_its_records(
    tmp_path: Path, operation: Operation, who: str
) -> None:
    written: list[str] = []
    async with shop(tmp_path, written) as engine:
        result = await asked(engine, operation, known(who, "C-1"))
    assert isinstance(result, BlastRadius), result
    assert result.exceeded
    assert (result.exceeded.limit, result.exceeded.found, written) == (Limit.MAX_PEOPLE, 2, [])


async def test_the_record_of_the_account_two_persons_or_a_proof_say_whose_they_are(tmp_path: Path) -> None:
    async with shop(tmp_path, []) as engine:
        stopped = await asked(engine, Operation.LOCATE, known("mallory@example.com"))
        assert isinstance(stopped, BlastRadius), "what a ticket names is followed no further"
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


NAMED = DECLARATION.replace('person = "number"\n', "")
BY_NUMBER = NAMED.replace('records = "found" }', 'records = "found", id = "number" }', 1)


@pytest.mark.parametrize(
    ("declaration", "left"), [(DECLARATION, ()), (NAMED, ("call",)), (BY_NUMBER, ())], ids=["person", "named", "its id"]
)
async def test_a_record_confirms_its_account_where_it_is_declared_to_be_its_own_and_what_never_can_be_is_named(
    tmp_path: Path, declaration: str, left: Sequence[str]
) -> None:
    async with shop(tmp_path, [], declaration) as engine:
        result = await asked(engine, Operation.EXPORT, known(ADA, "C-9"))
        assert isinstance(result, BlastRadius if left else Receipt), result
        assert engine.adapter.never_told_apart == left


def test_person_names_an_account(tmp_path: Path) -> None:
    (tmp_path / "shop.toml").write_text(DECLARATION.replace('person = "number"', 'person = "email"'))
    with pytest.raises(Misconfigured, match="person names email, at which neither owner nor yields has an account_id"):
        read_declaration(tmp_path / "shop.toml")


# Whose a record is where it tells itself what it must agree with: a register yields the account in the same answer.
WITH_OWNERS = """
auth = { kind = "bearer", token_env = "HUBSPOT_TOKEN" }
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
    """What a register tells of somebody who is known by these; ``fuzzy``: its search brings everybody."""
    (directory / "register.toml").write_text(WITH_OWNERS.replace("OWNER", owner))

    def handle(request: httpx.Request) -> httpx.Response:
        asked = dict(request.url.params)
        return people(*(each for each in register if fuzzy or asked.items() <= each.items()))

    async with declared(directory / "register.toml", httpx.MockTransport(handle), SetClock()) as engine:
        asking = replace(task(Operation.LOCATE), identities=known)
        return (await engine.adapter.locate([asking], engine.save_progress))[0]


@pytest.mark.parametrize("claimed", [False, True])
async def test_an_account_that_ones_own_record_tells_makes_it_nobody_elses(tmp_path: Path, *, claimed: bool) -> None:
    beside = [Identity(ACCOUNT, "A-9", source="desk", claimed=True)] if claimed else []
    found = await located(tmp_path, ADDRESS, *beside, register=[MINE])
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
    assert isinstance(found, ForeignHit)
    assert "eve" not in str(found)
