"""What a mail is taken to be: whatever it holds it is read, and what it says of itself decides nothing."""

import asyncio
import sys
from datetime import UTC, datetime
from email.message import EmailMessage
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.intake.mail import apart
from services.intake.mail.incoming import MailKind, Ours, plain, read
from services.intake.mail.proposal import mail_policy, propose
from services.intake.mail.tokens import token
from services.intake.mail.wire import answer, answered, asked, question
from shared.domain.rights import Right

ARRIVED = datetime(2026, 3, 2, 8, 30, tzinfo=UTC)
OURS = Ours(b"s" * 32, frozenset({"privacy@example.org"}), frozenset({"mx.example.org"}))
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


_NAMES = ("From", "To", "Subject", "Message-ID", "Content-Type", "Content-Disposition", "Received", "X")
_PIECES = (
    "(",
    "=?utf-8?q?x?= ",
    "a@b.c, ",
    "<",
    '"',
    "multipart/mixed; boundary=x",
    "\ud800",
    "\0",
    "é",
    ";",
    "=",
    "\n ",
)
HEADERS = st.lists(st.tuples(st.sampled_from(_NAMES), st.sampled_from(_PIECES), st.integers(1, 40)), max_size=6)


def nested(kind: str, deep: int) -> bytes:
    """So many of them, one in the other."""
    line = "--b{n}\n" if kind.startswith("multipart") else ""
    heads = (f"Content-Type: {kind}; boundary=b{n}\n\n{line.format(n=n)}" for n in range(deep))
    return "".join(heads).encode() + b"\nHello"


@given(HEADERS, st.sampled_from(["multipart/mixed", "message/rfc822", "multipart/digest"]), st.integers(0, 12))
def test_whatever_its_headers_and_parts_are_it_is_read_and_can_be_shown(
    headers: list[tuple[str, str, int]], kind: str, deep: int
) -> None:
    said = "".join(f"{name}: {piece * times}\n" for name, piece, times in headers)
    found = read(said.encode("utf-8", "surrogatepass") + nested(kind, deep), ARRIVED, OURS)
    assert answered(answer(found)) == found
    assert asked(question(b"raw", ARRIVED, OURS, b"body")) == (b"raw", ARRIVED, OURS, b"body")


@pytest.mark.parametrize(
    "raw",
    [
        *(f"{name}: {'(' * 5_000}\n\nHello".encode() for name in _NAMES),
        *(f"{name}: {'=?utf-8?q?x?= ' * 25_000}\n\nHello".encode() for name in ("Subject", "From", "Message-ID")),
        b"To: " + b"a@b.c, " * 50_000 + b"\n\nHello",
        b"Content-Type: text/plain; charset=utf-7\n\n+2AA-Hello",
        b"Content-Type: text/plain; charset=unicode_escape\n\n\\ud800\\x00Hello",
        b"Content-Type: message/rfc822\n\nSubject: x\n\nHello",
    ],
)
def test_what_makes_others_stand_still_is_read_like_any_other(raw: bytes) -> None:
    found = read(raw, ARRIVED, OURS)
    assert "Hello" in found.text
    assert answered(answer(found)) == found


@pytest.mark.parametrize("raw", [nested("multipart/mixed", 1_000), nested("message/rfc822", 2_000)])
async def test_a_mail_that_cannot_be_read_is_put_before_a_person_and_ends_nothing(raw: bytes) -> None:
    found = await apart.read(raw, ARRIVED, OURS)
    assert (found.kind, found.received_at) == (MailKind.UNREADABLE, ARRIVED)
    assert found.digest == (await apart.read(raw.replace(b"\n", b"\r\n"), ARRIVED, OURS)).digest


async def test_a_mail_whose_parser_is_killed_is_put_before_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "_COMMAND", ("sh", "-c", "kill -9 $$"))
    assert (await apart.read(a_mail().as_bytes(), ARRIVED, OURS)).kind is MailKind.UNREADABLE


LARGEST = 25 * 2**20
PEAK = """
import asyncio, datetime, resource, sys
from services.intake.mail import apart
from services.intake.mail.incoming import Ours
ours = Ours(b"s" * 32, frozenset(), frozenset())
asyncio.run(apart.read(sys.stdin.buffer.read(), datetime.datetime.now(datetime.UTC), ours))
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 2**10)
"""


@pytest.mark.parametrize("body", [b"Please send me my data.\r\n", b"--b\r\n\r\nHello\r\n"])
async def test_the_largest_mail_takes_its_parser_little_memory(body: bytes) -> None:
    raw = a_mail().as_bytes().partition(b"\n\n")[0] + b"\n\n" + body * (LARGEST // len(body))
    if body.startswith(b"--b"):
        raw = raw.replace(b"text/plain", b"multipart/mixed; boundary=b", 1)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PEAK, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    told, _ = await process.communicate(raw)
    assert int(told) < 160, "MiB"


async def test_of_a_long_mail_the_beginning_is_read_and_its_copy_is_known_all_the_same() -> None:
    raw = a_mail().as_bytes() + b"Please send me my data.\n" * 200_000
    found = await apart.read(raw, ARRIVED, OURS)
    assert (found.kind, found.cut, found.sender) == (MailKind.PROPOSED, True, "ada@mail.example")
    copy = (b"Received: from a by b\n" + raw).replace(b"\n", b"\r\n")
    assert (await apart.read(copy, ARRIVED, OURS)).digest == found.digest
    assert (await apart.read(raw + b"Also delete it.\n", ARRIVED, OURS)).digest != found.digest
    assert not (await apart.read(a_mail().as_bytes(), ARRIVED, OURS)).cut


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
    ("header", "value"),
    [
        ("Auto-Submitted", "auto-generated; x=y"),
        ("Precedence", "bulk"),
        ("Return-Path", "<>"),
        ("Reply-To", "privacy@example.org"),
    ],
)
def test_no_header_keeps_a_mail_from_a_person(header: str, value: str) -> None:
    mail = a_mail(**{header.replace("-", "_"): value})
    assert read(mail.as_bytes(), ARRIVED, OURS).kind is MailKind.PROPOSED


def test_an_address_of_ours_is_never_taken_for_the_sender() -> None:
    mail = a_mail(Reply_To="privacy@example.org")
    assert read(mail.as_bytes(), ARRIVED, OURS).sender == "ada@mail.example"
    mail.replace_header("From", "Form <PRIVACY@example.org>")
    from_us = read(mail.as_bytes(), ARRIVED, OURS)
    assert (from_us.kind, from_us.sender) == (MailKind.PROPOSED, "")
    mail.replace_header("Reply-To", "Eve <eve@mail.example>")
    assert read(mail.as_bytes(), ARRIVED, OURS).sender == "eve@mail.example"


def test_a_mail_is_from_whom_it_says_it_is_from_and_what_else_it_names_stands_apart() -> None:
    mail = a_mail(Reply_To="Eve <Eve@mail.example>")
    found = read(mail.as_bytes(), ARRIVED, OURS)
    assert (found.sender, found.besides) == ("ada@mail.example", ("eve@mail.example",))
    assert propose(found, mail_policy()).email == "ada@mail.example"
    mail.replace_header("From", "Ada <ada@mail.example>, Ben <ben@mail.example>")
    assert read(mail.as_bytes(), ARRIVED, OURS).besides == ("ben@mail.example", "eve@mail.example")
    mail.replace_header("From", "Form <privacy@example.org>")
    mail.replace_header("Reply-To", "Eve <eve@mail.example>")
    by_form = read(mail.as_bytes(), ARRIVED, OURS)
    assert (by_form.name, by_form.sender, by_form.besides) == ("Eve", "eve@mail.example", ())


def test_a_letter_of_ours_that_comes_back_as_it_went_is_a_loop_and_nothing_else_is() -> None:
    ours = f"<{token(OURS.secret, UUID(int=7))}@example.org>"
    back = a_mail(Message_ID=ours)
    assert read(back.as_bytes(), ARRIVED, OURS).kind is MailKind.PROPOSED, "a person has sent it"
    back.replace_header("From", "Privacy <PRIVACY@example.org>")
    assert read(back.as_bytes(), ARRIVED, OURS).kind is MailKind.OURS
    back.replace_header("Message-ID", "<l@example.org>")
    assert read(back.as_bytes(), ARRIVED, OURS).kind is MailKind.PROPOSED, "our address alone is no loop"


def test_a_file_is_what_its_first_bytes_say() -> None:
    mail = a_mail()
    mail.add_attachment(b"%PDF-1.7\n%\xe2\xe3", maintype="image", subtype="png", filename="holiday.png")
    mail.add_attachment(b"x" * 101, maintype="text", subtype="plain", filename="long.txt")
    pdf, text = read(mail.as_bytes(), ARRIVED, OURS).attachments
    assert (pdf.name, pdf.kind) == ("holiday.png", "application/pdf")
    assert (text.kind, text.size) == ("text/plain", 101)


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


@pytest.mark.parametrize(
    "page",
    ["<head><title>x<p>Hello", "<html><head><meta><body>Hello", "<title>x</head><div>Hello</div>"],
)
def test_a_head_that_is_not_closed_hides_nothing(page: str) -> None:
    assert "Hello" in plain(page)


def test_foreign_html_is_read_as_text_alone() -> None:
    page = "<html><head><style>p{}</style></head><body><p>Hello <b>you</b></p><script>x()</script>&lt;i&gt;</body>"
    assert plain(page) == "Hello you\n<i>"
