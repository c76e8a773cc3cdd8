"""Parts that two people have proved never join in one request, in whatever order they prove them; pure."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.intake.identity.link_bounds import mailbox_of
from services.intake.kept_of_person import as_proved
from shared.domain.identities import Identity, IdentityType
from shared.domain.one_person import as_stated, proves_the_same_person
from shared.domain.proofs import proved
from shared.storage.keyring import Keyring

KINDS = (IdentityType.EMAIL, IdentityType.ACCOUNT_ID, IdentityType.PHONE)
OF = {who: tuple(Identity(kind, f"{kind}-of-{who}") for kind in KINDS) for who in ("ada", "eve")}
EMAIL, ACCOUNT, PHONE = OF["ada"]
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


def at_once(*identities: Identity) -> tuple[Identity, ...]:
    return tuple(replace(each, level="L1") for each in identities)


def yielded(*identities: Identity, shared: bool = False) -> tuple[Identity, ...]:
    return tuple(replace(each, level="L1", source="crm", shared=shared) for each in identities)


def owner(each: Identity) -> str:
    return each.value.rpartition("-")[2]


@st.composite
def histories(draw: st.DrawFn) -> tuple[tuple[Identity, ...], list[tuple[str, tuple[Identity, ...]]]]:
    """What somebody has stated of both, and who proves what of it, one after the other; or systems are searched."""
    every = st.sampled_from([each for who in OF for each in OF[who]])
    stated = tuple(draw(st.lists(every, min_size=1, unique=True)))
    steps: list[tuple[str, tuple[Identity, ...]]] = []
    for who in draw(st.lists(st.sampled_from(["ada", "eve", "search"]), max_size=6)):
        theirs = [each for each in stated if owner(each) == who]
        chosen = draw(st.lists(st.sampled_from(theirs), min_size=1, unique=True)) if theirs else []
        steps.append((who, tuple(chosen)))
    return stated, steps


@given(histories())
def test_what_counts_is_one_persons_in_whatever_order_two_of_them_prove_it(
    history: tuple[tuple[Identity, ...], Sequence[tuple[str, tuple[Identity, ...]]]],
) -> None:
    stated, steps = history
    found: tuple[Identity, ...] = ()
    first: str | None = None
    for who, chosen in steps:
        counts = {owner(each) for each in proved(stated, "L1")}
        if who == "search":  # each system finds whoever is filed under what is proved, and what else is theirs
            found = yielded(*(each for whose in counts for each in OF[whose]))
            continue
        joins = proves_the_same_person((*stated, *found), at_once(*chosen))
        if chosen and joins:
            stated = tuple(replace(each, level="L1") if each in chosen else each for each in stated)
        first = first or (who if chosen else None)
        assert {owner(each) for each in proved(stated, "L1")} <= {first}
        if chosen and who == first and found:
            assert joins, "whom the systems have found goes on by all that they know"


SHOWN = (
    (EMAIL, ACCOUNT),  # nothing was proved before
    at_once(EMAIL, ACCOUNT),
    (*at_once(EMAIL), ACCOUNT, *yielded(ACCOUNT)),
)
NOT_SHOWN = (
    (*at_once(EMAIL), ACCOUNT),
    (*at_once(EMAIL), ACCOUNT, *yielded(ACCOUNT, shared=True)),
    (*at_once(EMAIL), ACCOUNT, *yielded(replace(ACCOUNT, valid_to=NOW))),
    (*at_once(EMAIL), ACCOUNT, replace(ACCOUNT, source="crm")),  # found by what nobody has proved
)


def test_a_later_proof_counts_where_it_is_shown_to_be_theirs() -> None:
    assert all(proves_the_same_person(known, at_once(ACCOUNT)) for known in SHOWN)
    assert not any(proves_the_same_person(known, at_once(ACCOUNT)) for known in NOT_SHOWN)


def test_what_is_proved_at_once_is_one_persons_by_the_channels_word() -> None:
    known = (*at_once(EMAIL), ACCOUNT)
    assert proves_the_same_person(known, at_once(EMAIL, ACCOUNT))
    assert proves_the_same_person(known, as_stated(at_once(ACCOUNT))), "nothing is proved, so nothing joins"


def test_an_address_that_others_have_too_joins_nobody() -> None:
    known = (*at_once(EMAIL), ACCOUNT, *yielded(EMAIL, shared=True))
    assert not proves_the_same_person(known, at_once(EMAIL, ACCOUNT))


def test_an_account_that_a_row_only_names_joins_nobody() -> None:
    known = (*at_once(EMAIL), *(replace(each, claimed=True) for each in yielded(ACCOUNT)))
    assert not proves_the_same_person(known, at_once(ACCOUNT))
    assert proves_the_same_person((*at_once(EMAIL), *yielded(ACCOUNT)), at_once(ACCOUNT))


# Which addresses are one mailbox; pure.
WORDS = st.from_regex(r"[a-z0-9_-]{1,12}", fullmatch=True)


@given(WORDS, st.lists(WORDS, max_size=3))
def test_what_follows_a_plus_makes_no_other_mailbox(local: str, more: list[str]) -> None:
    assert mailbox_of("+".join([local, *more]) + "@example.org") == f"{local}@example.org"


@pytest.mark.parametrize(
    ("address", "mailbox"),
    [
        ("a.d.a@gmail.com", "ada@gmail.com"),
        ("a.d.a@example.org", "a.d.a@example.org"),
        ("+ada@example.org", "+ada@example.org"),
        ("ada@+.example", "ada@+.example"),
    ],
)
def test_a_dot_makes_another_mailbox_where_it_does(address: str, mailbox: str) -> None:
    assert mailbox_of(address) == mailbox


# By what an earlier erasure has located somebody is as well proved as what they prove now, and no better; pure.
STATED_EMAIL = Identity(IdentityType.EMAIL, "ada@example.org", level="L1")
STATED_ACCOUNT = Identity(IdentityType.ACCOUNT_ID, "C1", source="desk", level="L2")


def test_what_was_located_then_is_proved_as_well_as_who_asks_now(keys: Keyring) -> None:
    mark = keys.fingerprint(STATED_EMAIL)
    then = (replace(STATED_EMAIL, level="L2"), STATED_ACCOUNT, replace(STATED_ACCOUNT, value="C2", level="L0"))
    assert as_proved(keys, [STATED_EMAIL], mark, then) == [replace(STATED_ACCOUNT, level="L1")]
    assert as_proved(keys, [replace(STATED_EMAIL, level="L3")], mark, then) == [STATED_ACCOUNT]


def test_whoever_has_not_proved_the_same_is_found_by_nothing_of_it(keys: Keyring) -> None:
    other = replace(STATED_EMAIL, value="eve@example.org")
    assert as_proved(keys, [other], keys.fingerprint(STATED_EMAIL), [STATED_ACCOUNT]) == []
    assert as_proved(keys, [replace(STATED_EMAIL, level="L0")], keys.fingerprint(STATED_EMAIL), [STATED_ACCOUNT]) == []
