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
ASKING += [
    "Please send both sides of your papers",
    "photo of your passport",
    "a scan of your licence",
    "Foto Ihres Ausweises",
    "copie de votre carte",
    "foto de su DNI",
    "Kopien Ihrer Papiere",
    "Bitte legen Sie Ihre Papiere vor",
    "Bitte schicken Sie uns Ihren Pass",
    "Send us your licence",
    "Show us your card",
    "Envoyez-nous vos papiers",
    "Envíenos sus papeles",
    "une photo recto verso de votre permis",
    "Photographiez votre titre des deux côtés",
    "Eine Ablichtung Ihrer Karte",
    "Scannen Sie Ihre Karte ein",
    "copies of your passports",
    "fotos de su carnet",
    "escanee su tarjeta por ambas caras",
    "Numérisez votre permis",
    "an official document",
    "ein amtliches Dokument",
    "Take your licence. Photograph it on both sides.",
    "a picture of your face",
    "una imagen de su licencia",
    "Adjunte su cédula",
    "we need no copy of your ID",
    "photo de la pièce",
    "copy of the front and back of the card that you show to the police",
    "Laden Sie ein Bild Ihres Passes hoch",
    "Ihr Pass als Foto",
    "Your papers, photographed",
    "Votre carte, photocopiée",
    "Senden Sie uns Ihre Fahrerlaubnis",
    "Haz una foto a tu documento",
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
HARMLESS += [
    "Please send a copy of the invoice that names your customer ID",
    "Which number is on your SIM card?",
    "Please send us the number that stands on the card of your phone",
    "Send us a photo of your SIM card",
    "Kopie der Rechnung mit Ihrer Kundennummer",
    "Which account ID do you mean?",
    "Do you want a copy of your data, or only the answer?",
    "Möchten Sie eine Kopie Ihrer Daten?",
    "Voulez-vous une copie de vos données ?",
    "¿Quiere una copia de sus datos?",
    "You need to send us nothing more",
    "What do you mean by your photo?",
    "Send us your customer ID",
    "Which picture do you mean: the one of your profile?",
    "Quelle carte SIM ?",
    "Haben Sie uns das Foto am 3. März geschickt?",
    "Is the licence key of your telephone system meant?",
    "We send the answer by mail to the address on the card",
    "Wir senden Ihnen eine Kopie an die Adresse, die wir haben",
    "Please present your objection in your own words",
    "Nous envoyons la carte SIM",
    "We have shown your request to the identity team",
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


def test_whoever_says_that_none_is_needed_is_told_how_to_write_it() -> None:
    with pytest.raises(BadRequest, match="To say that none is needed, name none") as refused:
        identity_policy().must_not_ask_for_a_document("We need no copy of your ID.")
    identity_policy().must_not_ask_for_a_document(str(refused.value).partition("as in: ")[2])


def test_a_copy_far_from_what_is_no_document_by_itself_is_asked_for_by_nobody() -> None:
    within = identity_policy().never_asked_for.copies_within
    asked = [identity_policy().document_asked_for(f"a copy {'of ' * between}cards") for between in (within, within + 1)]
    assert asked == ["copy … cards", None]
