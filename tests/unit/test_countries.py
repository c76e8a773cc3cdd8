"""A country is one of ISO 3166: whoever writes another code is told what to write, and the portal offers just these."""

import pytest
from pydantic import TypeAdapter, ValidationError

from services.intake.portal.portal import countries
from services.intake.subject_schemas import DataSubject
from services.intake.timing_schemas import ArrivalCorrection
from shared.domain.countries import COUNTRIES
from shared.domain.wording import LANGUAGES, Language

ADA = {"email": "ada@example.org"}


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("XX", "write its two letters in capitals (ISO 3166-1), as DE"),
        ("ZZ", "as DE"),
        ("AA", "as DE"),
        ("EU", "as DE"),
        ("de", "in capitals"),
        ("Germany", "two letters"),
        ("DE\n", "two letters"),
        ("UK", "write GB"),
        ("EL", "write GR"),
    ],
)
def test_what_is_no_country_is_refused_and_told_what_to_write(code: str, told: str) -> None:
    corrected = {"received_at": "2026-03-01T00:00:00Z", "reason": "It lay in the post room.", "country": code}
    for model, said in ((DataSubject, {**ADA, "country": code}), (ArrivalCorrection, corrected)):
        with pytest.raises(ValidationError) as refused:
            TypeAdapter(model).validate_python(said)
        (fault,) = refused.value.errors()
        assert fault["loc"] == ("country",)
        assert told in fault["msg"]
        assert len(code) < len("Germany") or code not in fault["msg"], "nothing that was sent is quoted"


def test_every_assigned_code_is_a_country_and_no_other_but_that_of_kosovo() -> None:
    assert len(COUNTRIES - {"XK"}) == 249, "as ISO 3166-1 has it"
    assert {"DE", "GB", "PN", "AQ", "XK", "BQ", "SS"} <= COUNTRIES
    for code in COUNTRIES:
        DataSubject.model_validate({**ADA, "country": code})


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_portal_offers_every_country_and_nothing_that_would_be_refused(language: Language) -> None:
    assert {code for code, _ in countries(language)} == COUNTRIES
