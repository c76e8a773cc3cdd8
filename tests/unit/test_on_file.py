"""Whom we ask of an account that somebody has named, and that a stranger's part never joins a holder's by it; pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.identities import Identity, IdentityType
from shared.domain.on_file import named, to_ask
from shared.domain.one_person import Typed, follows, proves_the_same_person

ADDRESS = Identity(IdentityType.EMAIL, "eve@example.com")
ACCOUNT = Identity(IdentityType.ACCOUNT_ID, "CU-17")
OLD = Identity(IdentityType.EMAIL, "ada@example.org", source="crm")
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
KINDS = frozenset({IdentityType.ACCOUNT_ID})


def proved(*identities: Identity, source: str = "requester") -> tuple[Identity, ...]:
    return tuple(replace(each, level="L1", source=source) for each in identities)


def test_what_was_named_and_not_proved_is_asked_about_once_an_address_is_proved() -> None:
    assert named((*proved(ADDRESS), ACCOUNT), KINDS) == ACCOUNT
    assert named((ADDRESS, ACCOUNT), KINDS) is None, "nobody has shown anything yet"
    assert named(proved(ADDRESS, ACCOUNT), KINDS) is None
    assert named((*proved(ADDRESS), ACCOUNT, *proved(ACCOUNT, source="crm")), KINDS) is None, (
        "it was found to be theirs"
    )
    assert named((*proved(ADDRESS), ACCOUNT, replace(ACCOUNT, source="shop")), KINDS) == ACCOUNT
    assert named((*proved(ADDRESS), replace(ACCOUNT, source="crm")), KINDS) is None, "nobody has named it"


FOUND = {
    "nothing": ((), "unknown"),
    "their own": ((replace(OLD, value=ADDRESS.value),), "unknown"),
    "others have it too": ((replace(OLD, shared=True),), "unknown"),
    "theirs until a day": ((replace(OLD, valid_to=NOW),), "unknown"),
    "a number": ((replace(OLD, type=IdentityType.PHONE, value="+442079460000"),), "unknown"),
    "what was stated": ((replace(OLD, source="requester"),), "unknown"),
    "a company's": (tuple(replace(OLD, value=f"{each}@example.org") for each in "abc"), "too_many"),
    "one, twice": ((OLD, replace(OLD, valid_from=NOW - timedelta(days=31))), [OLD.value]),
    "of late": ((OLD, replace(OLD, value="new@example.org", valid_from=NOW - timedelta(days=29))), "changed_lately"),
}


@pytest.mark.parametrize("found", FOUND)
def test_only_contacts_that_are_the_accounts_alone_today_are_asked_and_few_of_them(found: str) -> None:
    identities, asked = FOUND[found]
    assert to_ask(identities, {ADDRESS.value}, 2, NOW - timedelta(days=30)) == asked


X, A, C, B = b"address of the stranger", b"account of the holder", b"contact on file", b"account of the stranger"
STEPS = ("eve opens", "ada opens", "ada types", "ada signs in", "eve signs in", "not me", "search")


@dataclass
class World:
    """A request of a stranger's, who has named somebody's account; two browsers, and who reads which mailbox.

    The stranger reads what goes to their own address, and may pass its link on; the holder reads what goes to the
    contact on file, and does with it whatever there is to do, but gives nobody a code.
    """

    shown: dict[str, set[bytes]] = field(default_factory=lambda: {"eve": set(), "ada": set()})
    stated: tuple[Identity, ...] = (ADDRESS, ACCOUNT)
    found: tuple[Identity, ...] = ()
    typed: Typed | None = None
    disowned: bool = False

    @property
    def proved(self) -> set[bytes]:
        marks = {ADDRESS: X, ACCOUNT: A}
        return {marks[replace(each, level="L0")] for each in self.stated if each.level != "L0"}

    def follows(self, who: str) -> bool:
        return follows(self.proved or {X, A}, self.typed, self.shown[who])

    def proves(self, *identities: Identity) -> None:
        """What is proved at once in one session, as ``UseCases.verify`` takes it."""
        if proves_the_same_person((*self.stated, *self.found), proved(*identities)):
            self.stated = tuple(replace(each, level="L1") if each in identities else each for each in self.stated)

    def do(self, step: str) -> None:
        who = step.partition(" ")[0]
        match step:
            case "eve opens" | "ada opens":
                self.shown[who].add(X)
                self.proves(ADDRESS)
            case "ada types" if X in self.shown["ada"] and self.follows("ada") and not self.disowned:
                self.shown["ada"].add(C)
                self.typed = Typed(A, frozenset({C}))
                self.proves(ADDRESS, ACCOUNT)
            case "ada signs in":
                self.shown["ada"].add(A)
                if self.follows("ada"):
                    self.proves(ACCOUNT)
            case "eve signs in":
                self.shown["eve"].add(B)
            case "not me":
                self.disowned = True
                self.typed = self.typed and replace(self.typed, contacts=frozenset())
            case "search" if A in self.proved:
                self.found = proved(ACCOUNT, OLD, source="crm")


@given(st.lists(st.sampled_from(STEPS), max_size=12))
def test_a_stranger_with_a_mailbox_never_follows_what_a_holder_has_proved_whatever_both_press(
    steps: Sequence[str],
) -> None:
    world = World()
    for step in steps:
        world.do(step)
        assert not (A in world.proved and world.follows("eve")), "what is found by the account is not the stranger's"
        if A in world.proved and world.follows("ada"):
            assert world.shown["ada"] & {A, C}
    if "ada types" not in steps and "ada signs in" not in steps:
        assert A not in world.proved, "nothing else proves the account"


def test_once_somebody_at_a_contact_says_that_they_have_asked_for_nothing_no_code_of_it_opens_the_request() -> None:
    shown = {X, C}
    assert follows({X, A}, Typed(A, frozenset({C})), shown)
    assert not follows({X, A}, Typed(A, frozenset()), shown)
    assert follows({X, A}, Typed(A, frozenset()), {A}), "whoever signs in has the account"
    assert not follows({X}, Typed(A, frozenset({C})), {X}), "a proof that was taken back has found what is told still"
