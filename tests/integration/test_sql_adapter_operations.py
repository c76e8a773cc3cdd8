"""Finding people in SQL stores, and showing to each what is theirs."""

from dataclasses import replace

import orjson
import pytest

from deploy.demo.seed.cdr import CdrStore
from services.export.pieces import Piece
from shared.domain.errors import BlastRadius
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, TaskOutcome, Unsearched
from shared.domain.rights import Right
from shared.downstreams.contract import NotSearched
from tests.fixtures.cdr import ANNA, BORIS, CHIARA, SqlEngine, ask, at, call, each, engine, forms_of, number
from tests.fixtures.customer_store import CustomerStore
from tests.fixtures.downstream import email, phone, receipt, task
from tests.fixtures.packages import made_of, unpacked

EMAIL, ACCOUNT = email("anna.meier@example.org"), Identity(IdentityType.ACCOUNT_ID, "C1")


async def test_an_address_in_any_case_leads_to_the_account_and_to_the_numbers_with_their_periods(
    customers: SqlEngine,
) -> None:
    located, unknown = await customers.run(
        task(Operation.LOCATE, EMAIL, phone(ANNA)),
        task(Operation.LOCATE, email("x@example.org")),
    )
    found = {(i.type, i.value, i.valid_from, i.valid_to, i.source) for i in receipt(located).identities}
    since = at("2024-02-05").replace(hour=8, minute=30)
    assert found == {
        (IdentityType.ACCOUNT_ID, "C1", None, None, "store"),
        (IdentityType.NAME, "Anna Meier", None, None, "store"),
        (IdentityType.PHONE, ANNA, since, None, "store"),
        (IdentityType.PHONE, "+34918750146", since, at("2026-01-10"), "store"),
    }
    assert receipt(unknown).outcome is TaskOutcome.NO_MATCH


async def test_an_account_that_somebody_states_is_told_as_found_by_the_store_that_knows_it(
    customers: SqlEngine,
) -> None:
    stated = replace(ACCOUNT, source="requester")
    located = await customers.receipt(task(Operation.LOCATE, stated))
    assert replace(ACCOUNT, source="store", claimed=True) in located.identities


async def test_an_address_that_was_corrected_since_finds_nobody_where_rows_have_no_time(
    customers: SqlEngine, customer_store: CustomerStore
) -> None:
    former = Identity(IdentityType.EMAIL, "boris@example.org", None, at("2026-01-10"), "crm")
    assert (await customers.receipt(task(Operation.ERASE, former))).found == 0
    assert customers.adapter.heeds_periods
    text = customer_store.dataset.read_text(encoding="utf-8")
    timeless = text.partition("[tables.number_assignment]")[0]
    customer_store.dataset.write_text(timeless, encoding="utf-8")
    async with engine(customer_store.dsn, customer_store.dataset, {}) as plain:
        assert not plain.adapter.heeds_periods, "a person looks"


async def test_a_period_without_a_zone_is_read_in_the_zone_that_is_declared_for_it(
    customer_store: CustomerStore,
) -> None:
    naive = "timestamp USING {0} AT TIME ZONE 'UTC'"
    changes = (f"ALTER {name} TYPE {naive.format(name)}" for name in ("valid_from", "valid_to"))
    await customer_store.run(f"ALTER TABLE number_assignment {', '.join(changes)}")
    text = customer_store.dataset.read_text(encoding="utf-8")
    text = text.replace('valid_to = "valid_to" }', 'valid_to = "valid_to", timezone = "Europe/Madrid" }')
    customer_store.dataset.write_text(text, encoding="utf-8")
    async with engine(customer_store.dsn, customer_store.dataset, {}) as customers:
        located = await customers.receipt(task(Operation.LOCATE, EMAIL))
    periods = {(i.valid_from, i.valid_to) for i in located.identities if i.value == "+34918750146"}
    assert periods == {(at("2024-02-05").replace(hour=7, minute=30), at("2026-01-10").replace(hour=9))}


async def test_an_address_and_a_number_of_two_people_do_not_make_them_one(customers: SqlEngine) -> None:
    result = await customers.one(task(Operation.LOCATE, EMAIL, phone(BORIS)))
    assert isinstance(result, BlastRadius)


async def test_a_number_that_is_somebody_elses_now_finds_nobody_in_what_shows_the_present(
    customer_store: CustomerStore, customers: SqlEngine
) -> None:
    given_up = number(ANNA, until=at("2026-01-10"))
    done = await customers.receipt(task(Operation.ERASE, given_up))
    assert done.by_category.get("account", 0) == 0
    assert await customer_store.ask("SELECT count(*) FROM customer") == [(3,)]


async def test_a_number_that_changed_hands_shows_each_holder_their_own_calls_and_nobody_the_gap(
    cdr_store: CdrStore, calls: SqlEngine
) -> None:
    days = ("2025-12-24", "2026-01-09", "2026-01-10", "2026-02-14", "2026-03-01", "2026-04-01")
    await cdr_store.seed([call(ANNA, CHIARA, day) for day in days])
    x, y = number(ANNA, until=at("2026-01-10")), number(ANNA, since=at("2026-03-01"))
    results = await calls.run(*each(Operation.EXPORT, x, y))
    shown = [[str(r.data["started"])[:10] for r in receipt(e).records if r.category == "call_record"] for e in results]
    assert [sorted(each) for each in shown] == [list(days[:2]), list(days[4:])]


async def test_a_withheld_number_appears_nowhere_in_what_the_called_person_is_given(
    cdr_store: CdrStore, calls: SqlEngine
) -> None:
    await cdr_store.seed([call(ANNA, BORIS, pai=ANNA), call(CHIARA, BORIS), call(BORIS, ANNA)])
    await ask(cdr_store.admin, "UPDATE acc_cdrs SET callid = pai || '@198.18.0.7' WHERE pai IS NOT NULL")
    of_nobody = "UPDATE acc SET method = 'x' || substr(src_pai, 2) WHERE src_pai IS NOT NULL"
    await ask(cdr_store.admin, of_nobody)
    called, caller = await calls.run(*each(Operation.EXPORT, number(BORIS), number(ANNA)))
    records = receipt(called).records
    shown = [dict(r.data) for r in records if r.category == "call_record" and r.data["to"] == BORIS]
    assert sorted(str(data["from"]) for data in shown) == [CHIARA, "withheld"]
    withheld = [r for r in records if r.data["from"] == "withheld"]
    package = orjson.dumps([[r.category, r.source, r.data] for r in withheld])
    assert all(r.hidden["from"] == "withheld" for r in withheld), "each field that hides something says so, and why"
    [open_] = [r for r in records if r.category == "call_record" and r.data["from"] == CHIARA]
    assert (open_.hidden["network_number"], "from" in open_.hidden) == ("others", False)
    assert not open_.hidden.keys() & open_.data.keys(), "what is left out is named all the same"
    assert ANNA.encode() not in package
    assert ANNA[1:].encode() not in package
    assert b"198.18.0.7" not in orjson.dumps([r.data for r in records if r.data["to"] == BORIS])
    own = [r.data for r in receipt(caller).records if r.category == "call_record" and r.data["to"] == BORIS]
    assert [(data["network_number"], data["number_withheld"], data["device"]) for data in own] == [
        (ANNA, "yes", "Linphone/5.2.6")
    ]


@pytest.mark.parametrize("privacy", ["id", "user", "HEADER", "id;critical", "session, none", "of-tomorrow"])
async def test_no_form_of_a_number_that_was_withheld_is_anywhere_in_a_package(
    cdr_store: CdrStore, calls: SqlEngine, privacy: str
) -> None:
    await cdr_store.seed([call(ANNA, BORIS)])
    for form in forms_of(ANNA):
        said = {"callid": form.decode(), "privacy": privacy}
        await ask(cdr_store.admin, "UPDATE acc_cdrs SET callid = $1, privacy = $2", *said.values())
        await ask(cdr_store.admin, "UPDATE acc SET method = left($1, 16), privacy = $2", *said.values())
        found = await calls.receipt(task(Operation.EXPORT, number(BORIS)))
        pieces = [Piece("cdr", r.category, r.source, dict(r.data)) for r in found.records]
        content = b"".join(unpacked(await made_of(pieces, Right.ACCESS, at("2026-03-02"))).values())
        assert not [each for each in forms_of(ANNA) if each in content and len(each) <= len(form)]
        assert b"withheld" in content


async def test_a_diverted_call_has_three_people_and_erasing_one_leaves_the_others(
    cdr_store: CdrStore, calls: SqlEngine
) -> None:
    await cdr_store.seed([call(CHIARA, BORIS), call(CHIARA, ANNA)])
    await ask(cdr_store.admin, "UPDATE acc SET dst_ouser = $1 WHERE dst_user = $2", ANNA, BORIS)
    kept = "SELECT src_user, dst_ouser, dst_user FROM acc ORDER BY dst_user"
    done = await calls.receipt(task(Operation.ERASE, number(ANNA)))
    assert done.by_category == {"call_record": 1, "call_signalling": 2}
    assert await ask(cdr_store.admin, kept) == [(CHIARA, "", ""), (CHIARA, "", BORIS)]
    both = await calls.run(*each(Operation.ERASE, number(BORIS), number(CHIARA)))
    assert [receipt(one).by_category["call_signalling"] for one in both] == [1, 2]
    assert await ask(cdr_store.admin, kept) == []


@pytest.mark.parametrize(
    ("subject", "shown"),
    [
        (CHIARA, {"from": CHIARA, "dialled": ANNA, "to": "withheld"}),  # they never heard of Boris
        (ANNA, {"from": CHIARA, "dialled": ANNA, "to": BORIS}),  # it was she who had it diverted
        (BORIS, {"from": CHIARA, "dialled": "withheld", "to": BORIS}),  # nor did he dial or divert anything
    ],
)
async def test_of_a_diverted_call_each_of_three_is_shown_whom_they_had_to_do_with(
    cdr_store: CdrStore, calls: SqlEngine, subject: str, shown: dict[str, str]
) -> None:
    await cdr_store.seed([call(CHIARA, BORIS)])
    await ask(cdr_store.admin, "UPDATE acc SET dst_ouser = $1", ANNA)
    records = (await calls.receipt(task(Operation.EXPORT, number(subject)))).records
    [data] = [r.data for r in records if r.category == "call_signalling"]
    assert {label: data[label] for label in shown} == shown
    hidden = [value for value in (ANNA, BORIS, CHIARA) if value not in shown.values()]
    assert not [value for value in hidden if value in str(data)]


async def test_a_call_that_reached_whom_it_was_made_to_hides_nobody(cdr_store: CdrStore, calls: SqlEngine) -> None:
    await cdr_store.seed([call(CHIARA, BORIS)])
    for dialled in (BORIS, BORIS.replace("+", "00"), ""):
        await ask(cdr_store.admin, "UPDATE acc SET dst_ouser = $1", dialled)
        for subject in (CHIARA, BORIS):
            records = (await calls.receipt(task(Operation.EXPORT, number(subject)))).records
            assert "withheld" not in [r.data.get("to") for r in records]


async def test_what_a_person_dialled_is_shown_and_the_other_device_is_not(
    cdr_store: CdrStore, calls: SqlEngine
) -> None:
    await cdr_store.seed([call(ANNA, BORIS)])
    caller, called = await calls.run(*each(Operation.EXPORT, number(ANNA), number(BORIS)))
    outgoing, incoming = (
        next(r.data for r in receipt(e).records if r.category == "call_record") for e in (caller, called)
    )
    assert outgoing["to"] == BORIS
    assert outgoing["address"] == "198.18.0.7"
    assert incoming["from"] == ANNA
    assert incoming.keys() == {"started", "ended", "seconds", "from", "to"}
    assert (incoming["started"], incoming["seconds"]) == ("2026-03-02T10:00:00+00:00", 120.0)


@pytest.mark.parametrize("operation", [Operation.EXPORT, Operation.ERASE, Operation.RESTRICT])
@pytest.mark.parametrize("dated", [True, False])
async def test_whatever_is_asked_what_a_number_without_its_period_leaves_unsearched_is_said(
    cdr_store: CdrStore, calls: SqlEngine, operation: Operation, *, dated: bool
) -> None:
    await cdr_store.seed([call(ANNA, BORIS), call(CHIARA, BORIS)])
    known = (number(ANNA), phone(CHIARA)) if dated else (phone(CHIARA),)
    asked = task(operation, *known)
    result = await calls.one(asked)
    if dated:
        assert receipt(result).not_searched is Unsearched.NUMBER_WITHOUT_PERIOD
        assert receipt(result).found == 2
    else:
        assert result == NotSearched(asked.task_id, Unsearched.NUMBER_WITHOUT_PERIOD)
    assert await ask(cdr_store.admin, "SELECT count(*) FROM acc_cdrs WHERE caller = $1", CHIARA) == [(1,)]


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        ((EMAIL,), None),
        ((ACCOUNT,), None),
        ((EMAIL, phone(CHIARA)), Unsearched.NUMBER_WITHOUT_PERIOD),
        ((EMAIL, number(ANNA), phone(ANNA)), None),
        ((Identity(IdentityType.SIP_URI, "sip:anna@example.org"),), Unsearched.NOTHING_TO_SEARCH_BY),
    ],
    ids=["e-mail", "code", "undated number besides", "number dated by another system", "address that nobody has"],
)
async def test_a_store_is_searched_if_every_table_is_or_another_of_its_tables_leads_there(
    customers: SqlEngine, known: tuple[Identity, ...], reason: Unsearched | None
) -> None:
    result = await customers.one(task(Operation.EXPORT, *known))
    assert (result.reason if isinstance(result, NotSearched) else receipt(result).not_searched) is reason


@pytest.mark.parametrize("operation", [Operation.EXPORT, Operation.ERASE])
async def test_every_category_that_was_searched_is_named_also_where_nothing_was_found(
    cdr_store: CdrStore, calls: SqlEngine, operation: Operation
) -> None:
    await cdr_store.seed([call(ANNA, BORIS)])
    found, nothing = await calls.run(*each(operation, number(ANNA), number(CHIARA)))
    every = ("call_record", "call_signalling", "missed_call", "restriction")
    assert receipt(found).categories == receipt(nothing).categories == every
