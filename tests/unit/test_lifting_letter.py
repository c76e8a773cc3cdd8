"""The letter about a lift: that data are used again is said only where nothing else restricts them."""

from dataclasses import replace

import pytest

from shared.domain.sentences import Lines, say
from shared.domain.wording import LANGUAGES, Language
from tests.fixtures.requests import AT
from tests.fixtures.words import READER, written

AGAIN: dict[Language, str] = {
    "en": "used again as they were before",
    "de": "wieder so verwendet wie zuvor",
    "fr": "utilisées de nouveau comme auparavant",
    "es": "se utilizan de nuevo como antes",
}
OTHER = Lines((say("restriction.stays_for", reference="019c0002", received_on=AT),))


@pytest.mark.parametrize("cause", ["decided", "given_up"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_data_that_stay_restricted_for_another_request_are_not_said_to_be_used_again(
    language: Language, cause: str
) -> None:
    reader = replace(READER, language=language)
    alone, beside = (
        written("lifting", {"lifted_on": AT, "cause": cause, "others": others}, reader).body
        for others in (Lines(), OTHER)
    )
    assert (AGAIN[language] in alone, AGAIN[language] in beside) == (True, False)
    assert ("019c0002" in alone, "019c0002" in beside) == (False, True)
