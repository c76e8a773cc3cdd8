"""Text is compared in its composed form, whichever form a system has stored."""

import pytest

from services.intake.subject_schemas import DataSubject
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Change
from shared.downstreams.opendsr.settings import OpenDsrSettings
from shared.downstreams.opendsr.wire import is_foreign
from shared.downstreams.roundup.subjects import Person, has
from shared.downstreams.tryton.party import spelled

COMPOSED, DECOMPOSED = "jos\u00e9@example.org", "JOSE\u0301@example.org"
SUBJECT = Identity(IdentityType.EMAIL, COMPOSED)


def test_what_is_submitted_is_composed() -> None:
    said = DataSubject(email=DECOMPOSED, name="Jose\u0301")
    assert [identity.value for identity in said.identities()] == [COMPOSED, "Jos\u00e9"]
    assert Change(field="name", asserted="Jose\u0301").asserted == "Jos\u00e9"


def test_a_number_that_is_said_again_is_one_identity_for_each_of_its_periods() -> None:
    said = [("688 88 63 92", "2024-01-01"), ("688 88 63 92", "2025-01-01"), ("+34688886392", "2024-01-01")]
    phones = [{"number": number, "region": "ES", "since": f"{since}T00:00:00Z"} for number, since in said * 10]
    known = list(DataSubject.model_validate({"phones": phones}).identities())
    assert [(each.value, each.valid_from and each.valid_from.year) for each in known] == [
        ("+34688886392", 2024),
        ("+34688886392", 2025),
    ]


@pytest.mark.parametrize("stored", [COMPOSED, DECOMPOSED])
def test_what_a_system_has_stored_is_found_in_either_form(stored: str) -> None:
    assert has(Person.read({"id": "1", "address": stored}), SUBJECT)
    assert spelled(None, stored) == COMPOSED
    settings = OpenDsrSettings(url="http://localhost")  # type: ignore[arg-type]  # pydantic reads it
    assert not is_foreign({"email": stored}, [SUBJECT], settings)
    assert is_foreign({"email": f"x{stored}"}, [SUBJECT], settings)
