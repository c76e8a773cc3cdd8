"""Limits of one caller, and of all together."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.intake.access.auth import ApiKeys, _hash
from services.intake.access.grant import ANYTHING, Grant, Power
from services.intake.access.quota import RateLimiter, SharedQuota
from services.intake.core.errors import BadRequest, Forbidden, Overloaded, TooManyCalls, Unauthorised
from services.intake.core.instants import Instants
from services.intake.core.schemas import Assurance, IdentityProof
from services.intake.core.subject_schemas import DataSubject
from services.intake.identity.proving import ProofEvaluator, Proved, identity_policy, named
from shared.domain.clock import SystemClock
from shared.domain.identities import Identity, IdentityType
from shared.domain.proofs import without_proof_of
from shared.domain.rights import Right
from tests.fixtures.virtual_time import SkippingLoop


def test_calls_beyond_the_rate_are_refused_until_their_time_has_come_and_others_go_on() -> None:
    async def calls() -> None:
        rate = RateLimiter(per_second=10, burst_seconds=1.0)
        for _ in range(11):
            rate.take("one")
        with pytest.raises(TooManyCalls) as refusal:
            rate.take("one")
        assert 0 < refusal.value.retry_after <= 0.11
        rate.take("another")
        await asyncio.sleep(0.1)  # of the skipping loop's own time: it takes none
        rate.take("one")
        with pytest.raises(TooManyCalls):
            rate.take("one")

    with asyncio.Runner(loop_factory=SkippingLoop) as runner:
        runner.run(calls())


def test_one_caller_takes_half_at_most_and_all_together_no_more_than_there_is() -> None:
    quota = SharedQuota(100)
    quota.acquire("one", 50)
    with pytest.raises(TooManyCalls):
        quota.acquire("one", 1)
    quota.acquire("another", 30)
    quota.acquire("a third", 20)
    with pytest.raises(Overloaded):
        quota.acquire("another", 1)
    quota.release("one", 50)
    quota.acquire("another", 20)
    quota.acquire("a fourth", 30)


class Table:
    """The table of keys, which counts its queries and answers on command."""

    def __init__(self, *keys: tuple[str, str]) -> None:
        self.asked: list[int] = []
        self.is_asked, self.may_answer = asyncio.Event(), asyncio.Event()
        self._keys = keys

    async def fetch(self, _query: str, key_ids: list[str], _now: datetime) -> list[tuple[object, ...]]:
        self.asked.append(len(key_ids))
        self.is_asked.set()
        await self.may_answer.wait()
        granted = ("L1", ["access"], ["submit"], None, None)
        return [
            (key_id, _hash(secret), "channel", key_id, "portal", *granted)
            for key_id, secret in self._keys
            if key_id in key_ids
        ]


async def test_a_thousand_unknown_keys_cost_two_queries_and_are_then_remembered() -> None:
    known, unknown = ("a" * 12, "s" * 43), [f"dsr_{number:012x}_{'x' * 43}" for number in range(1_000)]
    table = Table(known)
    keys = ApiKeys(table, SystemClock())  # type: ignore[arg-type]  # all that is asked of a pool

    async def try_all() -> list[Any]:
        owned = f"dsr_{known[0]}_{known[1]}"
        return await asyncio.gather(*(keys.caller(each) for each in [*unknown, owned]), return_exceptions=True)

    first = asyncio.create_task(try_all())
    await asyncio.wait_for(table.is_asked.wait(), 10)
    table.may_answer.set()
    *refused, owned = await first
    assert owned.channel == known[0]
    assert {type(each) for each in refused} == {Unauthorised}
    assert len(table.asked) <= 2
    before = len(table.asked)
    *refused, owned = await try_all()
    assert (owned.channel, {type(each) for each in refused}) == (known[0], {Unauthorised})
    assert len(table.asked) == before


async def test_unreadable_row_fails_waiting_callers_without_blocking_them() -> None:
    class Strange:
        async def fetch(self, *_: object) -> list[tuple[object, ...]]:
            return [("a" * 12, b"", "channel")]

    keys = ApiKeys(Strange(), SystemClock())  # type: ignore[arg-type]  # all that is asked of a pool
    with pytest.raises(ValueError, match="unpack"):
        await asyncio.wait_for(keys.caller(f"dsr_{'a' * 12}_{'s' * 43}"), 10)


async def test_a_database_that_is_away_is_no_unknown_key() -> None:
    class Away:
        async def fetch(self, *_: object) -> None:
            raise ConnectionRefusedError

    keys = ApiKeys(Away(), SystemClock())  # type: ignore[arg-type]  # all that is asked of a pool
    for _ in range(2):
        with pytest.raises(ConnectionRefusedError):
            await keys.caller(f"dsr_{'a' * 12}_{'s' * 43}")


# What a channel's key may state and do, and the errors beyond that.
NARROW = Grant("L1", frozenset({Right.ACCESS, Right.OBJECTION}))
FETCHING = Grant.of("L0", Power.FETCH)


@pytest.mark.parametrize(
    ("must", "said"),
    [
        (lambda: NARROW.must_state("L2"), "this key may not state L2: it may state L1 at most"),
        (lambda: Grant().must_state("L1"), "this key may not state L1: it may state L0 at most"),
        (
            lambda: NARROW.must_handle(Right.ERASURE),
            "this key may not ask for erasure: it may ask for access and objection",
        ),
        (
            lambda: NARROW.must(Power.FETCH),
            "this key may not fetch packages: it may submit requests and move them on; use the channel's key for that",
        ),
        (
            lambda: FETCHING.must(Power.SUBMIT),
            "this key may not submit requests and move them on: it may fetch packages; use the channel's key for that",
        ),
    ],
)
def test_action_beyond_a_key_is_refused_with_the_keys_rights(must: Callable[[], None], said: str) -> None:
    assert refusal(must) == said


def test_what_a_key_may_it_may() -> None:
    may: list[Callable[[], None]] = [
        lambda: NARROW.must_state("L1"),
        lambda: NARROW.must_handle(Right.ACCESS),
        lambda: NARROW.must(Power.SUBMIT),
        lambda: FETCHING.must(Power.FETCH),
        *(partial(ANYTHING.must_handle, right) for right in Right),
    ]
    assert [refusal(must) for must in may] == [None] * len(may)


def refusal(must: Callable[[], None]) -> str | None:
    """Returns the error, if it is refused."""
    try:
        must()
    except Forbidden as refused:
        return str(refused)
    return None


def test_key_without_grants_states_and_fetches_nothing() -> None:
    assert Grant() == Grant("L0", frozenset(Right), frozenset({Power.SUBMIT}))


# What a channel says was proved, as the level of each identity; pure.
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
EMAIL, ACCOUNT = Identity(IdentityType.EMAIL, "a@b.example"), Identity(IdentityType.ACCOUNT_ID, "C-1")
PHONE, OTHER = Identity(IdentityType.PHONE, "+493023125001"), Identity(IdentityType.PHONE, "+493023125002")
STATED = (EMAIL, ACCOUNT, PHONE, OTHER)
POLICY = identity_policy()
PROVING = ProofEvaluator(POLICY, Instants())
LONG_AGO = NOW - timedelta(days=400)
LINKED, CODED = ("email", "email_link"), ("phones.0", "sms_code")


def ago(days: int) -> datetime:
    return NOW - timedelta(days=days)


def said(identity: str, method: str, since: datetime = LONG_AGO, **more: Any) -> IdentityProof:
    stated = {"identity": identity, "method": method, "on_file_since": since.isoformat(), **more}
    return IdentityProof.model_validate(stated)


def listed(*proofs: IdentityProof, stated: tuple[Identity, ...] = STATED, level: Any = "L3") -> Proved:
    return PROVING.prove(stated, None, proofs, Grant(level), NOW)


def in_short(level: str, method: str, stated: tuple[Identity, ...] = STATED) -> Proved:
    assurance = Assurance.model_validate({"level": level, "method": method})
    return PROVING.prove(stated, assurance, (), Grant("L3"), NOW)


def together(known: Proved) -> set[str]:
    return {identity.value for identity in known.identities if identity.together}


def levels(known: Proved) -> dict[str, str]:
    return {identity.value: identity.level for identity in known.identities if identity.level != "L0"}


def test_proof_of_one_identity_proves_no_other() -> None:  # C4
    assert levels(listed(said(*LINKED))) == {EMAIL.value: "L1"}
    assert levels(listed(said("phones.1", "sms_code"))) == {OTHER.value: "L1"}


@pytest.mark.parametrize(("days", "linked", "posted"), [(29, {}, "L1"), (30, {EMAIL.value: "L1"}, "L2")])
def test_what_is_not_on_file_for_thirty_days_proves_less(days: int, linked: dict[str, str], posted: str) -> None:
    assert levels(listed(said(*LINKED, ago(days)))) == linked
    assert levels(listed(said("account_id", "post", ago(days)))) == {ACCOUNT.value: posted}


def test_a_proof_of_long_ago_is_none_of_today() -> None:
    def proved(days: int) -> Proved:
        return listed(said(*LINKED, proved_at=ago(days).isoformat()))

    assert levels(proved(POLICY.proof_days)) == {EMAIL.value: "L1"}
    with pytest.raises(BadRequest, match="older than 30 days") as refused:
        proved(POLICY.proof_days + 1)
    assert refused.value.field == "proofs.0.proved_at"


def test_what_is_not_said_to_be_on_file_is_not() -> None:
    assert levels(listed(said(*LINKED, NOW, on_file_since=None))) == {}


def test_an_address_and_a_number_of_record_prove_more_together_and_two_numbers_do_not() -> None:
    assert levels(listed(said(*LINKED), said(*CODED))) == {EMAIL.value: "L2", PHONE.value: "L2"}
    assert together(listed(said(*LINKED), said(*CODED))) == {EMAIL.value, PHONE.value}
    two_numbers = listed(said(*CODED), said("phones.1", "sms_code"))
    assert levels(two_numbers) == {PHONE.value: "L1", OTHER.value: "L1"}


def test_proof_by_two_contact_points_is_marked() -> None:
    both = in_short("L2", "two_contact_points", (EMAIL, ACCOUNT, PHONE))
    assert together(both) == {EMAIL.value, ACCOUNT.value, PHONE.value}
    assert together(in_short("L2", "portal", both.identities)) == {PHONE.value}
    assert together(listed(said(*CODED), stated=in_short("L2", "portal").identities)) == set()
    account = in_short("L2", "signed_in_mfa", (ACCOUNT,)).identities
    assert together(listed(said(*LINKED), said(*CODED), stated=(*account, EMAIL, PHONE))) == {EMAIL.value}


def test_the_second_contact_point_may_be_proved_later() -> None:
    first = listed(said(*LINKED))
    assert levels(listed(said(*CODED), stated=first.identities)) == {EMAIL.value: "L2", PHONE.value: "L2"}


def test_the_short_form_proves_what_its_method_can_prove_and_a_number_only_where_one_is_stated() -> None:
    assert levels(in_short("L2", "signed_in_mfa")) == {EMAIL.value: "L2", ACCOUNT.value: "L2"}
    assert levels(in_short("L1", "sms_code")) == {}
    assert levels(in_short("L1", "sms_code", (EMAIL, PHONE))) == {PHONE.value: "L1"}


def test_a_method_proves_no_more_than_the_policy_says_and_no_more_than_is_stated() -> None:
    assert levels(in_short("L3", "account")) == {EMAIL.value: "L1", ACCOUNT.value: "L1"}
    assert levels(in_short("L1", "signed_in_mfa")) == {EMAIL.value: "L1", ACCOUNT.value: "L1"}


def test_a_number_is_theirs_since_it_is_on_file_or_else_since_it_was_proved() -> None:
    since = [each.proved_since for each in listed(said(*CODED)).identities if each == PHONE or each.level == "L1"]
    assert since == [LONG_AGO]
    late = in_short("L1", "sms_code", (PHONE,)).identities[0]
    assert late.proved_since == NOW
    earlier = listed(said(*CODED), stated=(late,)).identities[0]
    assert earlier.proved_since == LONG_AGO


def test_a_key_states_no_more_than_it_may_by_a_proof_either() -> None:  # S3
    with pytest.raises(Forbidden, match="may not state L1"):
        listed(said(*LINKED), level="L0")
    assert levels(listed(said(*LINKED), said(*CODED), level="L1")) == {EMAIL.value: "L1", PHONE.value: "L1"}


@pytest.mark.parametrize(
    ("proof", "field"),
    [
        (said("email", "sms_code"), "proofs.0.method"),
        (said("email", "a_word"), "proofs.0.method"),
        (said("sip_uri", "post"), "proofs.0.identity"),
        (said("phones.2", "sms_code"), "proofs.0.identity"),
        (said("email", "email_link", NOW, proved_at=LONG_AGO.isoformat()), "proofs.0.on_file_since"),
    ],
)
def test_a_proof_that_proves_nothing_stated_is_refused_by_its_field(proof: IdentityProof, field: str) -> None:
    with pytest.raises(BadRequest) as refused:
        listed(proof)
    assert refused.value.field == field


_proofs = st.lists(
    st.tuples(
        st.sampled_from(["email", "account_id", "phones.0", "phones.1"]),
        st.sampled_from(sorted(POLICY.methods)),
        st.integers(0, 60),
    ).filter(
        lambda proof: (
            {"email": "email", "account_id": "account_id"}.get(proof[0], "phone") in POLICY.methods[proof[1]].proves
        )
    ),
    max_size=4,
)


@given(_proofs)
def test_unnamed_proof_stays_unproved_and_the_record_has_no_value(proofs: list[tuple[str, str, int]]) -> None:
    known = listed(*(said(name, method, ago(days)) for name, method, days in proofs))
    places = {"email": EMAIL, "account_id": ACCOUNT, "phones.0": PHONE, "phones.1": OTHER}
    named = {places[name].value for name, *_ in proofs}
    assert levels(known).keys() <= named
    assert not any(value in str(known.evidence) for value in (each.value for each in STATED))


@pytest.mark.parametrize(
    ("proofs", "wrong", "left"),
    [
        ([LINKED, CODED], PHONE, {PHONE.value: "L0", EMAIL.value: "L1"}),
        ([LINKED, CODED], EMAIL, {EMAIL.value: "L0", PHONE.value: "L1"}),
        ([LINKED], EMAIL, {EMAIL.value: "L0"}),
        ([LINKED, CODED], ACCOUNT, {ACCOUNT.value: "L0"}),
    ],
)
def test_repudiation_weakens_joint_proof(proofs: list[tuple[str, str]], wrong: Identity, left: dict[str, str]) -> None:
    known = listed(*(said(*each) for each in proofs)).identities
    same = next(each for each in known if each.value == wrong.value)
    assert {each.value: each.level for each in without_proof_of(known, same)} == left


def test_a_sip_user_is_stated_with_its_period_and_proved_by_its_place() -> None:
    users = [{"address": "1001@pbx.example.com", "since": "2026-01-01T00:00:00Z"}, {"address": "1002@pbx.example.com"}]
    stated = tuple(DataSubject.model_validate({"sip_uris": users}).identities())
    assert [(each.type, each.value, each.valid_from is not None) for each in stated] == [
        (IdentityType.SIP_URI, "sip:1001@pbx.example.com", True),
        (IdentityType.SIP_URI, "sip:1002@pbx.example.com", False),
    ]
    assert named(stated, "sip_uris.1") == stated[1]
    for wrong in (
        {"sip_uri": "1001@pbx.example.com", "sip_uris": users},
        {"sip_uris": [{**users[0], "until": "2025-01-01T00:00:00Z"}]},
    ):
        with pytest.raises(ValidationError):
            DataSubject.model_validate(wrong)


def test_later_proof_of_a_number_counts_for_an_identified_person() -> None:
    def later(before: tuple[Identity, ...]) -> dict[str, str]:
        return levels(PROVING.prove((EMAIL, PHONE), None, (said(*LINKED), said(*CODED)), Grant("L3"), NOW, before))

    owned = PROVING.prove((EMAIL, PHONE), None, (said(*LINKED), said(*CODED)), Grant("L3"), NOW)
    assert together(owned) == {EMAIL.value, PHONE.value}
    account = in_short("L2", "signed_in_mfa", (ACCOUNT,)).identities
    assert later(account) == {EMAIL.value: "L2", PHONE.value: "L2"}
    known = PROVING.prove((EMAIL, PHONE), None, (said(*LINKED), said(*CODED)), Grant("L3"), NOW, account)
    assert together(known) == {EMAIL.value}
