"""Events of other services become requests and register entries, once, or are parked by name."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from services.intake.access.grant import Grant
from services.intake.core.instants import retention
from services.intake.jobs import expiry
from services.intake.settings import IntakeSettings
from shared.domain.assignments import AssignedNumber, Assignment, Line
from shared.domain.identities import Identity, IdentityType
from shared.domain.rights import Right
from shared.domain.user_events import read_emitters
from shared.storage.register import fill, register_for
from tests.fixtures.intake import Intake
from tests.fixtures.metrics import Count, metric
from tests.fixtures.user_events import PROVED, Emitting, binary, emitting, structured
from tests.fixtures.wire import check

ADA = {"email": "ada@example.org", "account_id": "C7"}
CHANGE = {"field": "email", "asserted": "ada@example.com"}


@pytest.fixture
async def selfcare(intake: Intake, database: str) -> Emitting:
    return await emitting(intake, database)


async def test_what_is_asked_for_by_an_event_is_on_record_as_such(selfcare: Emitting) -> None:
    token = await selfcare.post(subject=ADA, **PROVED)
    asked_at = selfcare.intake.clock.at - timedelta(days=3)
    await selfcare.publishes("user.requested.access", token, received_at=asked_at.isoformat())
    pool = selfcare.intake.unit_of_work.pool
    query = "SELECT action, detail FROM evidence.entry WHERE request_id = $1::uuid ORDER BY 1"
    entries = {row[0]: json.loads(row[1]) for row in await pool.fetch(query, token)}
    assert entries.keys() == {"letter.written", "request.received", "subject.stated"}
    said = entries["request.received"]
    assert (said["emitter"], said["event"], said["level"]) == ("selfcare", "user.requested.access", "L2")
    assert await pool.fetchval("SELECT channel FROM request") == "events"
    assert (await selfcare.view(token)).json()["received_at"] == asked_at.isoformat()
    sealed = "SELECT count(*) FROM vault.subject v JOIN subject_token t USING (subject_ref)"
    assert await pool.fetchval(sealed) == 0, "what was posted went with its event; the request has its own"


@pytest.mark.parametrize(
    ("kind", "said", "reason"),
    [
        ("user.consent_withdrawn", {"purpose": "profiling"}, "analytics, marketing, support"),
        (
            "user.account_closed",
            {"closed_at": "2026-03-03T09:00:00Z"},
            "closed_at lies in the future; tell it once it has happened",
        ),
    ],
)
async def test_impossible_event_is_parked_by_name(
    selfcare: Emitting, kind: str, said: dict[str, str], reason: str
) -> None:
    await selfcare.publishes(kind, await selfcare.post(subject=ADA, **PROVED), **said)
    [(name, detail)] = await selfcare.set_aside()
    assert (name, reason in detail, "profiling" in detail) == ("bad_request", True, False)


async def test_both_content_modes_are_read_and_repeats_ignored(selfcare: Emitting) -> None:
    token = await selfcare.post(subject=ADA)
    records = [
        mode("selfcare", "user.requested.access", {"subject": token}, "7-of-today") for mode in (binary, structured)
    ]
    check(*records)
    await selfcare.receives(records[0], records[0])
    await selfcare.receives(*records)  # the same id again, in the other mode: it is the same event
    assert (await selfcare.view(token)).status_code == 200
    assert await selfcare.set_aside() == []


@pytest.mark.parametrize("together", [True, False])
async def test_reused_event_id_is_parked_and_another_source_is_worked(selfcare: Emitting, *, together: bool) -> None:
    tokens = [await selfcare.post(subject={"email": f"ada.{n}@example.org"}) for n in range(3)]
    first, second, third = (
        binary("selfcare", "user.requested.access", {"subject": token}, "42", ce_source=f"/selfcare/{source}")
        for token, source in zip(tokens, ("es", "es", "de"), strict=True)
    )
    for batch in ([first, second, third],) if together else ([first], [second], [third]):
        await selfcare.receives(*batch)
    assert [(await selfcare.view(token)).status_code for token in tokens] == [200, 404, 200]
    assert [name for name, _ in await selfcare.set_aside()] == ["event_id_reused"]


async def test_event_id_is_unique_per_emitter(selfcare: Emitting, intake: Intake, database: str) -> None:
    shop = await emitting(intake, database, "shop")
    await selfcare.receives(
        binary("selfcare", "user.requested.access", {"subject": await selfcare.post(subject=ADA)}, "1")
    )
    await shop.receives(binary("shop", "user.requested.access", {"subject": str(uuid7())}, "1"))
    assert [name for name, _ in await shop.set_aside()] == ["subject_unknown"]


MALFORMED: list[tuple[Any, str]] = [
    (binary("selfcare", "user.requested.access", {}), "data.subject: Field required"),
    (binary("selfcare", "user.requested.access", {"subject": "ada@example.org"}), "data.subject: uuid_parsing"),
    (binary("selfcare", "user.requested.access", {"subject": str(uuid7()), "ada@example.org": 1}), "data.(unknown): "),
    (binary("selfcare", "user.account_closed", {"subject": str(uuid7()), "closed_at": 1}), "data.closed_at: write"),
    *(
        (binary("selfcare", kind, {"subject": str(uuid7()), field: f"{year}-01-01T00:00:00Z"}), f"data.{field}: give a")
        for kind, field in (("user.requested.access", "received_at"), ("user.account_closed", "closed_at"))
        for year in ("0001", "2999")
    ),
    (binary("selfcare", "user.requested.access", [], ce_specversion="0.3"), "specversion: send 1.0"),
    (binary("selfcare", "", {}), "type: a context attribute"),
    (binary("selfcare", "user.requested.access", {}, ce_subject="ada@example.org"), "subject: leave it out"),
    (binary("selfcare", "user.requested.access", {}, **{"content-type": "text/plain"}), "content-type: send the data"),
    (structured("selfcare", "user.requested.access", {}, partitionkey="C7"), "partitionkey: leave it out"),
    (structured("selfcare", "user.requested.access", None), "data: model_type"),
]


async def test_malformed_event_is_parked_with_field_and_reason(selfcare: Emitting, subtests: pytest.Subtests) -> None:
    for number, (record, reason) in enumerate(MALFORMED, start=1):
        with subtests.test(reason):
            await selfcare.receives(record)
            letters = await selfcare.dead_letters()
            assert len(letters) == number
            value, headers = letters[-1]
            assert (headers["dsr_reason"], headers["dsr_topic"]) == ("malformed_event", "user.events.selfcare")
            assert headers["dsr_detail"].startswith(reason)
            assert value == b""
            assert "ada" not in json.dumps(headers)
            assert not [name for name in headers if name.startswith("ce_")]


async def test_an_unknown_type_is_counted_and_left(selfcare: Emitting) -> None:
    counted = Count("dsr_events_consumed_total", service="intake", type="unknown", result="ignored")
    await selfcare.receives(binary("selfcare", "user.logged_in", {"at": "noon"}))
    assert await selfcare.set_aside() == []
    assert counted.added == 1


async def test_unusable_token_is_parked_by_reason(selfcare: Emitting, intake: Intake, database: str) -> None:
    stranger = await emitting(intake, database, "numbering")
    used, old = await selfcare.post(subject=ADA), await selfcare.post(subject=ADA)
    foreign = await stranger.post(subject={"account_id": "C7", "phones": [{"number": "+442079460000"}]})
    await selfcare.publishes("user.requested.access", used)
    await selfcare.publishes("user.requested.access", used)
    await selfcare.publishes("user.requested.access", str(uuid7()))
    await selfcare.publishes("user.requested.access", foreign)
    intake.clock.at += timedelta(days=14)
    await selfcare.publishes("user.requested.access", old)
    names = [name for name, _ in await selfcare.set_aside()]
    assert names == ["subject_used", "subject_unknown", "subject_of_another", "subject_expired"]
    assert await intake.unit_of_work.pool.fetchval("SELECT count(*) FROM request") == 1


async def test_parked_event_takes_effect_when_replayed(selfcare: Emitting, intake: Intake) -> None:
    token = await selfcare.post(subject=ADA)
    record = binary("selfcare", "user.requested.access", {"subject": token})
    await intake.unit_of_work.pool.execute(
        "UPDATE api_key SET revoked_at = $1 WHERE holder = 'selfcare'", intake.clock.at
    )
    await selfcare.receives(record)
    assert [name for name, _ in await selfcare.set_aside()] == ["subject_of_another"]
    await intake.unit_of_work.pool.execute("UPDATE api_key SET revoked_at = NULL")
    await selfcare.receives(record)
    assert (await selfcare.view(token)).status_code == 200


async def test_emitter_is_bound_by_its_file_and_key(intake: Intake, database: str) -> None:
    bounded = await emitting(intake, database, rights=frozenset({Right.ACCESS}), level="L1")
    intake.emitters |= read_emitters()  # what is posted was still allowed
    proved, stated = await bounded.post(subject=ADA, **PROVED), await bounded.post(subject=ADA)
    await bounded.publishes("user.requested.access", proved)
    await bounded.publishes("user.requested.erasure", stated)
    await bounded.publishes("number.assigned", stated, since="2026-01-01T00:00:00Z", line="personal")
    reasons = await bounded.set_aside()
    assert [name for name, _ in reasons] == ["forbidden", "not_declared", "not_declared"]
    assert reasons[0][1] == "this key may not state L2: it may state L1 at most"
    narrow = await emitting(intake, database, bounds=Grant("L2", rights=frozenset({Right.ACCESS})))
    await narrow.publishes("user.requested.erasure", await narrow.post(subject=ADA))
    assert (await narrow.set_aside())[-1][0] == "forbidden"
    assert await intake.unit_of_work.pool.fetchval("SELECT count(*) FROM request") == 0


async def test_a_key_of_another_tenant_than_the_emitters_is_refused(intake: Intake, database: str) -> None:
    ours = await emitting(intake, database, bounds=Grant("L2", tenant="acme"))
    theirs = await emitting(intake, database, bounds=Grant("L2", tenant="acme"), tenant="acme")
    await ours.publishes("user.requested.access", await ours.post(subject=ADA), instruction_id="INS-1")
    token = await theirs.post(subject=ADA)
    await theirs.publishes("user.requested.access", token, instruction_id="INS-2")
    assert [name for name, _ in await theirs.set_aside()] == ["not_declared"]
    assert (await theirs.view(token)).json()["tenant"] == "acme"


async def test_flood_waits_and_nothing_is_lost(intake: Intake, database: str) -> None:
    slow = await emitting(intake, database, bounds=Grant("L2", per_minute=4))
    records = [
        binary("selfcare", "user.requested.access", {"subject": await slow.post(subject={"account_id": f"C{n}"})})
        for n in range(9)
    ]
    left = await slow.receives(*records)
    assert [*await slow.receives(*left)] == left, "not before it is time"
    accepted = await intake.unit_of_work.pool.fetchval("SELECT count(*) FROM request")
    assert (accepted, len(left)) == (4, 5)
    assert {record.value for record in left} | {record.value for record in records[:4]} == {r.value for r in records}
    assert await slow.set_aside() == []


async def test_erasures_that_come_as_events_are_counted_with_those_of_the_key(intake: Intake, database: str) -> None:
    fast = await emitting(intake, database, settings=IntakeSettings(erasures_per_hour=2))
    tokens = [await fast.post(subject={"account_id": f"C{n}"}, **PROVED) for n in range(3)]
    await fast.receives(*(binary("selfcare", "user.requested.erasure", {"subject": token}) for token in tokens[:2]))
    await fast.publishes("user.requested.erasure", tokens[2])
    waits = ["releases the key" in str((await fast.view(token)).json()["blocked_by"]) for token in tokens]
    assert waits == [False, False, True]


# Events about numbers update the register; a contradiction is a conflict and changes nothing.
NUMBER, OTHER = "+442079460000", "+442079460001"
JANUARY, FEBRUARY = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)


def assigned(account: str, since: datetime, until: datetime | None = None, number: str = NUMBER) -> AssignedNumber:
    return AssignedNumber(Identity(IdentityType.PHONE, number, since, until), account)


async def read(intake: Intake, *rows: AssignedNumber, at: datetime | None = None) -> None:
    """A full reading of the register's source."""
    keys, now = intake.unit_of_work.vault.keyring, at or intake.clock.now()
    every = (*rows, assigned("C99", JANUARY, number="+442079460099"))
    async with intake.unit_of_work.pool.acquire() as connection:
        await fill(connection, keys, "crm", "crm", every, now)


@pytest.fixture
async def numbering(intake: Intake, database: str) -> Emitting:
    return await emitting(intake, database, "numbering")


async def says(numbering: Emitting, kind: str, account: str, **data: object) -> str:
    token = await numbering.post(subject={"account_id": account, "phones": [{"number": NUMBER}]})
    await numbering.publishes(kind, token, **data)
    return token


async def known(intake: Intake) -> list[tuple[str, datetime, datetime | None, Line]]:
    """Returns the number's assignments in the register."""
    keys, number = intake.unit_of_work.vault.keyring, Identity(IdentityType.PHONE, NUMBER)
    async with intake.unit_of_work.pool.acquire() as connection:
        register = await register_for(connection, keys, [number])
    names = {keys.holder("crm", account): account for account in ("C1", "C2")}
    rows: list[Assignment] = sorted(register.of(number), key=lambda each: each.valid_from)
    return [(names[each.holder], each.valid_from, each.valid_to, each.line) for each in rows]


async def conflicts(intake: Intake) -> list[tuple[str, str, str]]:
    """Returns the open conflicts: source, kind and request."""
    found = (await intake.officer.get("/v1/assignment-conflicts")).raise_for_status().json()["data"]
    return [(each["system"], each["kind"], each["request_id"]) for each in found]


async def test_a_number_is_assigned_released_and_assigned_to_the_next(intake: Intake, numbering: Emitting) -> None:
    await read(intake)
    await says(numbering, "number.assigned", "C1", since=JANUARY.isoformat(), line="shared")
    await says(numbering, "number.released", "C1", until=FEBRUARY.isoformat())
    await says(numbering, "number.assigned", "C2", since=FEBRUARY.isoformat(), line="personal")
    assert await known(intake) == [("C1", JANUARY, FEBRUARY, Line.SHARED), ("C2", FEBRUARY, None, Line.PERSONAL)]
    assert await conflicts(intake) == []
    assert await intake.unit_of_work.pool.fetchval("SELECT unannounced FROM register.source")


async def test_ported_in_number_is_assigned_and_ported_out_released(intake: Intake, numbering: Emitting) -> None:
    await read(intake)
    await says(numbering, "number.ported", "C1", direction="in", at=JANUARY.isoformat())
    assert await known(intake) == [("C1", JANUARY, None, Line.PERSONAL)]
    await says(numbering, "number.ported", "C1", direction="out", at=FEBRUARY.isoformat())
    assert await known(intake) == [("C1", JANUARY, FEBRUARY, Line.PERSONAL)]


async def test_repeated_event_changes_nothing(intake: Intake, numbering: Emitting) -> None:
    await read(intake)
    for _ in range(2):
        await says(numbering, "number.assigned", "C1", since=JANUARY.isoformat(), line="personal")
    for _ in range(2):
        await says(numbering, "number.released", "C1", until=FEBRUARY.isoformat())
    assert await known(intake) == [("C1", JANUARY, FEBRUARY, Line.PERSONAL)]
    assert await conflicts(intake) == []


async def test_number_of_another_holder_is_a_conflict(intake: Intake, numbering: Emitting) -> None:
    await read(intake, assigned("C1", JANUARY))
    token = await says(numbering, "number.assigned", "C2", since=FEBRUARY.isoformat(), line="personal")
    ported = await says(numbering, "number.ported", "C2", direction="out", at=FEBRUARY.isoformat())
    assert await known(intake) == [("C1", JANUARY, None, Line.PERSONAL)]
    assert await conflicts(intake) == [("numbering", "another_holder", token), ("numbering", "another_holder", ported)]
    [conflict, _] = (await intake.officer.get("/v1/assignment-conflicts")).json()["data"]
    settled = await intake.officer.post(f"/v1/assignment-conflicts/{conflict['conflict_id']}/actions/settle")
    assert settled.status_code == 200, settled.text


async def test_empty_register_is_not_begun_by_one_number(intake: Intake, numbering: Emitting) -> None:
    await says(numbering, "number.assigned", "C1", since=JANUARY.isoformat(), line="personal")
    assert [name for name, _ in await numbering.set_aside()] == ["register_unfilled"]
    assert await intake.unit_of_work.pool.fetchval("SELECT count(*) FROM register.source") == 0


async def test_reading_begun_before_an_event_does_not_end_it(intake: Intake, numbering: Emitting) -> None:
    await read(intake)
    began = intake.clock.at + timedelta(minutes=1)
    intake.clock.at += timedelta(minutes=2)
    await says(numbering, "number.assigned", "C1", since=JANUARY.isoformat(), line="personal")
    await read(intake, at=began)
    assert await known(intake) == [("C1", JANUARY, None, Line.PERSONAL)]
    intake.clock.at += timedelta(minutes=1)
    await read(intake)  # the source does not know it
    assert await known(intake) == [("C1", JANUARY, intake.clock.at, Line.PERSONAL)]


async def test_who_is_not_authoritative_for_numbers_says_nothing_of_them(intake: Intake, database: str) -> None:
    await read(intake)
    selfcare = await emitting(intake, database)
    await says(selfcare, "number.assigned", "C1", since=JANUARY.isoformat(), line="personal")
    assert [name for name, _ in await selfcare.set_aside()] == ["not_declared"]
    assert await known(intake) == []


async def test_number_event_outside_partition_0_is_parked(intake: Intake, numbering: Emitting) -> None:
    await read(intake)
    token = await numbering.post(subject={"account_id": "C1", "phones": [{"number": NUMBER}]})
    record = binary("numbering", "number.assigned", {"subject": token, "since": JANUARY.isoformat(), "line": "shared"})
    await numbering.receives(replace(record, partition=1))
    assert [name for name, _ in await numbering.set_aside()] == ["order_unknown"]
    assert await known(intake) == []
    await numbering.receives(record)
    assert await known(intake) == [("C1", JANUARY, None, Line.SHARED)]


# Closed accounts are on record until their period ends.
async def test_a_closed_account_is_on_record_with_its_day_and_a_later_word_replaces_it(selfcare: Emitting) -> None:
    for day in ("2026-02-01", "2026-02-03"):
        token = await selfcare.post(subject={"account_id": "C7"})
        await selfcare.publishes("user.account_closed", token, closed_at=f"{day}T00:00:00+01:00")
    rows = await selfcare.intake.unit_of_work.pool.fetch("SELECT account, closed_at, emitter FROM closed_account")
    keyring = selfcare.intake.unit_of_work.vault.keyring
    [(account, closed_at, emitter)] = rows
    assert account == keyring.fingerprint(Identity(IdentityType.ACCOUNT_ID, "C7"))
    assert (closed_at.isoformat(), emitter) == ("2026-02-02T23:00:00+00:00", "selfcare")


@pytest.mark.parametrize("subject", [ADA, {"email": "ada@example.org"}])
async def test_event_with_unsuitable_identities_is_parked(selfcare: Emitting, subject: dict[str, object]) -> None:
    token = await selfcare.post(subject=subject)
    await selfcare.publishes("user.account_closed", token, closed_at="2026-02-01T00:00:00Z")
    assert [name for name, _ in await selfcare.set_aside()] == ["subject_unfit"]


async def test_unused_tokens_expire_after_days_and_events_after_months(selfcare: Emitting) -> None:
    intake, periods = selfcare.intake, retention()
    await selfcare.post(subject=ADA)
    await selfcare.publishes(
        "user.account_closed", await selfcare.post(subject={"account_id": "C7"}), closed_at="2026-02-01T00:00:00Z"
    )

    async def end() -> dict[str, int]:
        ended = await expiry.end_all(intake.unit_of_work, periods, lambda: None)
        async with intake.unit_of_work.pool.acquire() as connection:
            assert set((await expiry.past(connection, periods, intake.clock.now())).values()) == {0}
        return {tier: number for tier, number in ended.items() if number}

    intake.clock.at += timedelta(days=periods.subject_days - 1)
    assert await end() == {}
    async with intake.unit_of_work.pool.acquire() as connection:
        await expiry.count_left(connection, periods, intake.clock.now(), timedelta(days=14))
    assert metric("dsr_vault_orphans", what="no_request") == 0
    intake.clock.at += timedelta(days=2)
    assert await end() == {"subjects": 1}
    intake.clock.at += timedelta(days=366)
    assert await end() == {"accounts": 1}
    assert await intake.unit_of_work.pool.fetchval("SELECT count(*) FROM vault.subject") == 0


# What an emitter may not state is refused when it is posted, and not set aside later.
async def test_malformed_identities_are_refused_when_posted(intake: Intake, database: str) -> None:
    selfcare = await emitting(intake, database, rights=frozenset({Right.ACCESS, Right.ERASURE}))
    for said, status, field in (
        ({"subject": {"name": "Ada"}}, 422, "subject"),
        ({"subject": {"email": "ada"}}, 422, "subject.email"),
        ({"subject": ADA, "assurance": {"level": "L2", "method": "guess"}}, 400, "assurance.method"),
        ({"subject": ADA, "right": "access"}, 422, "right"),
    ):
        answer = await selfcare.ask("/v1/subjects", said)
        assert (answer.status_code, [each["field"] for each in answer.json()["errors"]]) == (status, [field])


@pytest.mark.parametrize(
    ("bounds", "declared", "says"),
    [
        (Grant("L3", tenant="acme"), {}, "is not of the tenant of this emitter"),
        (Grant("L3"), {"level": "L1"}, "may not state L2: it may state L1 at most"),
    ],
)
async def test_emitter_posts_no_more_than_its_file_lets_it_state(
    intake: Intake, database: str, bounds: Grant, declared: dict[str, Any], says: str
) -> None:
    selfcare = await emitting(intake, database, bounds=bounds, **declared)
    answer = await selfcare.ask("/v1/subjects", {"subject": ADA, **PROVED})
    assert answer.status_code == 403
    assert says in answer.json()["detail"]


async def test_who_is_no_emitter_posts_identities_for_no_event(intake: Intake, database: str) -> None:
    selfcare = await emitting(intake, database)
    selfcare.intake.emitters.clear()
    answer = await selfcare.ask("/v1/subjects", {"subject": ADA})
    assert (answer.status_code, answer.json()["detail"].partition(":")[0]) == (
        403,
        "the holder of this key is no emitter",
    )
