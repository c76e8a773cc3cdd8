"""What the policy of identities lets nobody ask for."""

import pytest

from services.intake.errors import BadRequest
from services.intake.identity.assurance import identity_policy

ASKING = [
    "Please send a copy of your PASSPORT.",
    "Please send a scan of your ID.",
    "We need a photo of your ID",
    "Bitte Perso scannen",
    "Bitte schicken Sie uns Ihren Personalausweis.",
    "Kopie Ihres Personal-Ausweises",
    "Kopie Ihres Personal\u00adausweises",
    "Envoyez une copie de votre carte d\u2019identit\u00e9.",
    "Une copie de la CNI suffit",
    "skan dowodu osobistego",
    "foto de su DNI",
    "una copia de su D.N.I.",
    "Carta di identit\u00e0",
    "A scan of your driver\u2019s license will do.",
    "your driving license",
    "identity  card",
    "identity\ncard",
    "pass\u200bport",
    "\uff30\uff21\uff33\uff33\uff30\uff2f\uff32\uff34",
    "p\u0430ssport",
    "k\u00f6rkort",
    "foto van uw ID-bewijs",
    "selfie holding your national ID",
    "proof of identity issued by a government, with photograph",
    "Ihre Ausweiskopie fehlt noch",
]
ASKING += [
    "Bitte senden Sie uns ein Foto Ihres Lichtbildausweises (Vorder- und Rueckseite).",
    "ein Foto Ihres Persos",
    "Ihr Legitimationspapier",
    "votre CNI",
    "su NIE",
    "su carnet de conducir",
    "eID card",
    "a selfie holding your papers",
    "a government-issued document with your photo",
    "your identity-card",
    "Send us a picture, both sides, of your papers",
    "Bitte schicken Sie uns ein Foto beider Seiten Ihres Personaldokuments",
    "Envoyez une photo de votre pièce",
    "Send a scan of the card the state gave you",
    "p a s s p o r t",
    "P-A-S-S-P-O-R-T",
]
HARMLESS = [
    "Which number is yours?",
    "Which passports office do you mean?",
    "What is your customer ID?",
    "Haben Sie die Nummer nie benutzt?",
    "Do you mean line A or B, at no. 5 a?",
    "Is it the e-mail address or the phone number?",
    "Which of your accounts do you mean, and since when was the number yours?",
    "Quel \u00e9tait votre num\u00e9ro en mars ? Et la copie, par courrier ou ici ?",
    "\u041a\u0430\u043a\u043e\u0439 \u0443 \u0432\u0430\u0441 \u043d\u043e\u043c\u0435\u0440?",
    "Please type the code that we have sent to your address of record.",
    "Please send us a copy of the invoice on which both pieces of equipment stand.",
]


@pytest.mark.parametrize("words", ASKING)
def test_words_that_ask_for_an_identity_document_are_refused_however_they_are_written(words: str) -> None:
    with pytest.raises(BadRequest) as refused:
        identity_policy().must_not_ask_for_a_document(words, "explanation")
    assert refused.value.field == "explanation"


@pytest.mark.parametrize("words", HARMLESS)
def test_any_other_words_are_not(words: str) -> None:
    assert identity_policy().document_asked_for(words) is None
    identity_policy().must_not_ask_for_a_document(words)
