"""What the policy of identities lets nobody ask for."""

import pytest

from services.intake.assurance import identity_policy
from services.intake.errors import BadRequest


@pytest.mark.parametrize(
    "question",
    [
        "Please send a copy of your PASSPORT.",
        "Bitte schicken Sie uns Ihren Personalausweis.",
        "Envoyez une copie de votre carte d\u2019identit\u00e9.",
        "A scan of your driver\u2019s license will do.",
        "Ihre Ausweiskopie fehlt noch",
    ],
)
def test_a_question_that_asks_for_an_identity_document_is_refused_with_a_sentence(question: str) -> None:
    with pytest.raises(BadRequest, match="ask for no identity document") as refused:
        identity_policy().must_not_ask_for_a_document(question)
    assert refused.value.field == "text"


@pytest.mark.parametrize("question", ["Which number is yours?", "Which passports office do you mean?"])
def test_any_other_question_is_not(question: str) -> None:
    identity_policy().must_not_ask_for_a_document(question)
