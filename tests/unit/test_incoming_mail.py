"""What a mail is taken to be: whatever it holds it is read, and what it says of itself decides nothing."""

from datetime import UTC, datetime
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.intake.mail.incoming import MailKind, Ours, read
from services.intake.mail.plain import plain
from services.intake.mail.proposal import mail_policy, propose
from shared.domain.rights import Right

ARRIVED = datetime(2026, 3, 2, 8, 30, tzinfo=UTC)
OURS = Ours(b"s" * 32, frozenset({"privacy@example.org"}), frozenset({"mx.example.org"}), 100)
MX = "from a.example by mx.example.org with ESMTPS; Sat, 28 Feb 2026 23:59:00 +0100"


def a_mail(text: str = "Hello", subject: str = "Hello", **headers: str) -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "Ada <ada@mail.example>", "support@example.org", subject
    for name, value in headers.items():
        mail[name.replace("_", "-")] = value
    mail.set_content(text)
    return mail


@given(st.binary(max_size=2_000))
def test_whatever_comes_is_read(raw: bytes) -> None:
    assert read(raw, ARRIVED, OURS).received_at <= ARRIVED
    assert read(b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n" + raw, ARRIVED, OURS).digest


@pytest.mark.parametrize(
    ("received", "at"),
    [
        (MX, datetime(2026, 2, 28, 22, 59, tzinfo=UTC)),
        ("from a by mx.elsewhere.example; Sat, 28 Feb 2026 23:59:00 +0100", ARRIVED),
        ("from mx.example.org by a.example; Sat, 28 Feb 2026 23:59:00 +0100", ARRIVED),
        ("from a by mx.example.org; Sat, 28 Feb 2099 23:59:00 +0100", ARRIVED),
        ("from a by mx.example.org; yesterday", ARRIVED),
    ],
)
def test_a_mail_has_reached_us_when_our_exchanger_says_so_and_no_other(received: str, at: datetime) -> None:
    assert read(a_mail(Received=received).as_bytes(), ARRIVED, OURS).received_at == at


@pytest.mark.parametrize(
    ("header", "value", "kind"),
    [
        ("Auto-Submitted", "no", MailKind.PROPOSED),
        ("Auto-Submitted", "auto-generated; x=y", MailKind.AUTOMATIC),
        ("X-Autoreply", "yes", MailKind.AUTOMATIC),
        ("Precedence", "bulk", MailKind.AUTOMATIC),
        ("Return-Path", "<>", MailKind.AUTOMATIC),
        ("X-Auto-Response-Suppress", "All", MailKind.PROPOSED),
        ("Reply-To", "privacy@example.org", MailKind.PROPOSED),
    ],
)
def test_a_machine_is_told_by_what_it_says_of_itself(header: str, value: str, kind: MailKind) -> None:
    assert read(a_mail(**{header.replace("-", "_"): value}).as_bytes(), ARRIVED, OURS).kind is kind


def test_a_mail_of_ours_is_no_request_and_one_that_wants_its_answer_at_our_address_is() -> None:
    mail = a_mail(Reply_To="privacy@example.org")
    assert read(mail.as_bytes(), ARRIVED, OURS).sender == "ada@mail.example"
    mail.replace_header("From", "Privacy <PRIVACY@example.org>")
    assert read(mail.as_bytes(), ARRIVED, OURS).kind is MailKind.OURS


def test_a_file_is_what_its_first_bytes_say_and_none_is_taken_beyond_the_bound() -> None:
    mail = a_mail()
    mail.add_attachment(b"%PDF-1.7\n%\xe2\xe3", maintype="image", subtype="png", filename="holiday.png")
    mail.add_attachment(b"x" * 101, maintype="text", subtype="plain", filename="long.txt")
    pdf, text = read(mail.as_bytes(), ARRIVED, OURS).attachments
    assert (pdf.name, pdf.kind, pdf.taken) == ("holiday.png", "application/pdf", True)
    assert (text.kind, text.size, text.taken) == ("text/plain", 101, False)


@pytest.mark.parametrize(
    ("text", "rights", "language"),
    [
        ("Please send me a copy of my data, and then delete my account.", ["access", "erasure"], "en"),
        ("Ich widerspreche der Werbung und bitte Sie um Löschung meiner Daten.", ["erasure", "objection"], "de"),
        ("Bonjour, je retire mon consentement. Merci et bonne journée à vous.", ["consent_withdrawal"], "fr"),
        ("Hola, quiero la portabilidad de mis datos por favor.", ["portability"], "es"),
        ("> Please delete my data\nIt works.", [], None),
        ("", [], None),
    ],
)
def test_rights_and_language_are_proposed_by_the_words_of_the_policy(
    text: str, rights: list[str], language: str | None
) -> None:
    proposal = propose(read(a_mail(text, "4711").as_bytes(), ARRIVED, OURS), mail_policy())
    assert [*proposal.rights] == [Right(each) for each in rights]
    assert proposal.language == language


def test_every_right_has_words_in_every_language() -> None:
    policy = mail_policy()
    assert set(policy.rights) == set(Right)
    assert all({*words} == {"en", "de", "fr", "es"} for words in (*policy.rights.values(), policy.languages))


def test_numbers_and_a_customer_number_are_found_as_they_are_written() -> None:
    mail = a_mail("My number is 0221 4710 190, or +44 20 7946 0958; customer C-4711.")
    proposal = propose(read(mail.as_bytes(), ARRIVED, OURS), mail_policy())
    assert proposal.account_id == "C-4711"
    assert "+442079460958" in proposal.phones


def test_foreign_html_is_read_as_text_alone() -> None:
    page = "<html><head><style>p{}</style></head><body><p>Hello <b>you</b></p><script>x()</script>&lt;i&gt;</body>"
    assert plain(page) == "Hello you\n<i>"
