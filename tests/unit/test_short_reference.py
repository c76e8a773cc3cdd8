"""The short reference of a request, and what a mistake in it does."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from shared.domain import reference

ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
IDS = st.uuids(version=None)


@given(IDS, st.integers(0, 7), st.sampled_from(ALPHABET))
def test_one_wrong_character_is_no_reference(request_id: UUID, place: int, wrong: str) -> None:
    known = reference.of(request_id)
    bare = known.removeprefix("CCP-").replace("-", "")
    typed = bare[:place] + wrong + bare[place + 1 :]
    assert reference.read(typed) == (known if typed == bare else None)


@given(IDS, st.integers(0, 7), st.integers(0, 7))
def test_two_characters_that_changed_places_are_no_reference(request_id: UUID, one: int, other: int) -> None:
    known = reference.of(request_id)
    typed = list(known.removeprefix("CCP-").replace("-", ""))
    same = typed[one] == typed[other]
    typed[one], typed[other] = typed[other], typed[one]
    assert reference.read("".join(typed)) == (known if same else None)


def test_a_reference_is_read_however_it_is_written() -> None:
    request_id = UUID("019c0000-0000-7000-8000-000000000001")
    known = reference.of(request_id)
    assert known == "CCP-854Y-AEC9", "it stands in letters that were sent"
    for written in (known, "ccp 854y aec9", " 854Y-AEC9 ", "CCP854YAEC9", "CCP – 854Y – AEC9", str(request_id)):
        assert reference.read(written) == known, written
    for written in ("", "CCP", "CCP-854Y-AEC", "CCP-854Y-AEC99", "CCP-854Y-AEC0", "ada@example.org", "+15551234567"):
        assert reference.read(written) is None, written
    assert reference.read(reference.EXAMPLE) == reference.EXAMPLE
