"""Which addresses are one mailbox; pure."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.intake.identity.link_bounds import mailbox_of

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
