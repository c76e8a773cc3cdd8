"""By what an earlier erasure has located somebody is as well proved as what they prove now, and no better; pure."""

from dataclasses import replace

from services.intake.kept_of_person import as_proved
from shared.domain.identities import Identity, IdentityType
from shared.storage.keyring import Keyring

EMAIL = Identity(IdentityType.EMAIL, "ada@example.org", level="L1")
ACCOUNT = Identity(IdentityType.ACCOUNT_ID, "C1", source="desk", level="L2")


def test_what_was_located_then_is_proved_as_well_as_who_asks_now(keys: Keyring) -> None:
    mark = keys.fingerprint(EMAIL)
    then = (replace(EMAIL, level="L2"), ACCOUNT, replace(ACCOUNT, value="C2", level="L0"))
    assert as_proved(keys, [EMAIL], mark, then) == [replace(ACCOUNT, level="L1")]
    assert as_proved(keys, [replace(EMAIL, level="L3")], mark, then) == [ACCOUNT]


def test_whoever_has_not_proved_the_same_is_found_by_nothing_of_it(keys: Keyring) -> None:
    other = replace(EMAIL, value="eve@example.org")
    assert as_proved(keys, [other], keys.fingerprint(EMAIL), [ACCOUNT]) == []
    assert as_proved(keys, [replace(EMAIL, level="L0")], keys.fingerprint(EMAIL), [ACCOUNT]) == []
