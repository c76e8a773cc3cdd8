"""Any mail is read, whatever it holds, and only certain facts are proposed."""

import asyncio
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.correspondence.mail import parser_process
from services.correspondence.mail.incoming import read
from services.correspondence.mail.proposal import mail_policy
from shared.domain.mail_content import INCOMING, MailContent, MailKind, OurMail
from shared.domain.notices import token
from shared.domain.rights import Right

ARRIVED = datetime(2026, 3, 2, 8, 30, tzinfo=UTC)
OURS = OurMail(b"s" * 32, frozenset({"privacy@example.org"}), frozenset({"mx.example.org"}))
MX = "from a.example by mx.example.org with ESMTPS; Sat, 28 Feb 2026 23:59:00 +0100"


def a_mail(text: str = "Hello", subject: str = "Hello", html: str | None = None, **headers: str) -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "Ada <ada@mail.example>", "support@example.org", subject
    for name, value in headers.items():
        del mail[name.replace("_", "-")]
        mail[name.replace("_", "-")] = value
    if text or html is None:
        mail.set_content(text)
    if html is not None:
        (mail.add_alternative if text else mail.set_content)(html, subtype="html")
    return mail


def seen(mail: EmailMessage) -> MailContent:
    return read(mail.as_bytes(), ARRIVED, OURS).content


# Any mail can be read, or ends its own process and nothing else.
@given(st.binary(max_size=2_000))
def test_whatever_comes_is_read(raw: bytes) -> None:
    assert read(raw, ARRIVED, OURS).received_at <= ARRIVED
    assert read(b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n" + raw, ARRIVED, OURS).digest
    assert read(b"Content-Type: text/html; charset=x\r\n\r\n<p style='" + raw, ARRIVED, OURS).digest


_NAMES = ("From", "To", "Subject", "Message-ID", "Content-Type", "Content-Disposition", "Received", "X")
_PIECES = ("(", "=?utf-8?q?x?= ", "a@b.c, ", "<", '"', "multipart/mixed; boundary=x", "\ud800", "\0", "é", ";=", "\n ")
HEADERS = st.lists(st.tuples(st.sampled_from(_NAMES), st.sampled_from(_PIECES), st.integers(1, 40)), max_size=6)


def nested(kind: str, deep: int) -> bytes:
    """Nests so many of them."""
    line = "--b{n}\n" if kind.startswith("multipart") else ""
    heads = (f"Content-Type: {kind}; boundary=b{n}\n\n{line.format(n=n)}" for n in range(deep))
    return "".join(heads).encode() + b"\nHello"


@given(HEADERS, st.sampled_from(["multipart/mixed", "message/rfc822", "multipart/digest"]), st.integers(0, 12))
def test_any_headers_and_parts_can_be_read(headers: list[tuple[str, str, int]], kind: str, deep: int) -> None:
    said = "".join(f"{name}: {piece * times}\n" for name, piece, times in headers)
    found = read(said.encode("utf-8", "surrogatepass") + nested(kind, deep), ARRIVED, OURS)
    written = INCOMING.dump_json(found)
    assert INCOMING.dump_json(INCOMING.validate_json(written)) == written


@pytest.mark.parametrize(
    "raw",
    [
        *(
            f"{name}: {'(' * 5_000}\n\nHello".encode()
            for name in ("From", "Content-Type", "Received", "Authentication-Results")
        ),
        b"Subject: " + b"=?utf-8?q?x?= " * 25_000 + b"\n\nHello",
        b"To: " + b"a@b.c, " * 50_000 + b"\n\nHello",
        b"Content-Type: text/plain; charset=utf-7\n\n+2AA-Hello",
        b"Content-Type: text/plain; charset=unicode_escape\n\n\\ud800\\x00Hello",
        b"Content-Type: message/rfc822\n\nSubject: x\n\nHello",
        b"Content-Type: text/html\n\n" + b"<div>" * 30_000 + b"Hello",
        b"\n" + b"Hello 030 901820 On a@b.c \n> " * 2_000,
        b"\nHello" + b"\n" * 20_000 + b"On a wrote ",
    ],
)
def test_what_makes_others_stand_still_is_read_like_any_other(raw: bytes) -> None:
    found = read(raw, ARRIVED, OURS)
    assert (found.kind, "Hello" in found.content.text) == (MailKind.PROPOSED, True)


@pytest.mark.parametrize("raw", [nested("multipart/mixed", 1_000), nested("message/rfc822", 2_000)])
async def test_a_mail_that_cannot_be_read_is_put_before_a_person_and_ends_nothing(raw: bytes) -> None:
    found = await parser_process.read(raw, ARRIVED, OURS)
    assert (found.kind, found.received_at) == (MailKind.UNREADABLE, ARRIVED)
    assert found.digest == (await parser_process.read(raw.replace(b"\n", b"\r\n"), ARRIVED, OURS)).digest


async def test_a_mail_whose_parser_is_killed_is_put_before_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parser_process, "_COMMAND", ("sh", "-c", "kill -9 $$"))
    assert (await parser_process.read(a_mail().as_bytes(), ARRIVED, OURS)).kind is MailKind.UNREADABLE


LARGEST = 25 * 2**20
PEAK = """
import asyncio, datetime, resource, sys
from services.correspondence.mail import parser_process
from shared.domain.mail_content import OurMail
ours = OurMail(b"s" * 32, frozenset(), frozenset())
read = asyncio.run(parser_process.read(sys.stdin.buffer.read(), datetime.datetime.now(datetime.UTC), ours))
print(read.kind, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 2**10)
"""


@pytest.mark.parametrize("body", [b"--b\r\n\r\nHello\r\n", b"<p>Hello\r\n"])
async def test_the_largest_mail_takes_its_parser_little_memory(body: bytes) -> None:
    kind = b"text/html" if body.startswith(b"<p") else b"multipart/mixed; boundary=b"
    head = a_mail().as_bytes().partition(b"\n\n")[0].replace(b"text/plain", kind, 1)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PEAK, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await process.communicate(head + b"\n\n" + body * (LARGEST // len(body)))
    said, mebibytes = printed.decode().split()
    assert (said, int(mebibytes) < 200) == ("proposed", True), mebibytes


async def test_of_a_long_mail_the_beginning_is_read_and_its_copy_is_known_all_the_same() -> None:
    raw = a_mail().as_bytes() + b"Please send me my data.\n" * 200_000
    found = await parser_process.read(raw, ARRIVED, OURS)
    assert (found.kind, found.content.cut, found.content.sender) == (MailKind.PROPOSED, True, "ada@mail.example")
    copy = (b"Received: from a by b\n" + raw).replace(b"\n", b"\r\n")
    assert (await parser_process.read(copy, ARRIVED, OURS)).digest == found.digest
    assert (await parser_process.read(raw + b"Also delete it.\n", ARRIVED, OURS)).digest != found.digest
    assert not (await parser_process.read(a_mail().as_bytes(), ARRIVED, OURS)).content.cut


# When it came, from whom, and whether the domain was authenticated: by our own exchanger's words alone.
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


ALL = {"spf": "pass", "dkim": "pass", "dmarc": "pass"}


@pytest.mark.parametrize(
    ("results", "checks", "authenticated"),
    [
        (["mx.example.org; spf=pass; dkim=pass header.d=mail.example; dmarc=pass"], ALL, True),
        (["MX.example.org 1; dmarc=fail (p=none) header.from=mail.example"], {"dmarc": "fail"}, False),
        (["mx.example.org; dkim=pass header.i=@example"], {"dkim": "pass"}, True),
        (["mx.example.org; dkim=pass header.d=evil.example; spf=pass"], {"dkim": "pass", "spf": "pass"}, False),
        (["mx.example.org; dkim=fail header.d=mail.example; dkim=pass header.d=mail.example"], {"dkim": "pass"}, True),
        (["mx.example.org; spf=fail (; dmarc=pass)"], {"spf": "fail"}, False),
        (['mx.example.org; spf=fail smtp.mailfrom="a; dmarc=pass"'], {"spf": "fail"}, False),
        (["mx.example.org; spf=fail (; dmarc=pass"], {}, False),
        (["mx.example.org; none"], {}, False),
        (["mx.evil.example; dmarc=pass", "mx.example.org; dmarc=pass"], {}, False),
        ([], {}, False),
    ],
)
def test_domain_is_authenticated_by_the_topmost_result_of_our_own_exchanger(
    results: list[str], checks: dict[str, str], *, authenticated: bool
) -> None:
    raw = "".join(f"Authentication-Results: {each}\n" for each in results).encode() + a_mail().as_bytes()
    found = read(raw, ARRIVED, OURS).content
    assert (found.checks, found.authenticated) == (checks, authenticated)


@pytest.mark.parametrize(
    ("sender", "reply_to", "said"),
    [
        ("Ada <ada@mail.example>", "", ("ada@mail.example", "Ada")),
        ("Ada <ada@mail.example>", "privacy@example.org", ("ada@mail.example", "Ada")),
        ("Ada <ada@mail.example>", "Eve <Eve@mail.example>", ("ada@mail.example", "Ada", "eve@mail.example")),
        ("Ada <ada@mail.example>, ben@mail.example", "", ("ada@mail.example", "Ada", "ben@mail.example")),
        ("Form <PRIVACY@example.org>", "", ("", "")),
        ("Form <privacy@example.org>", "Eve <eve@mail.example>", ("eve@mail.example", "Eve")),
        ("=?koi8-unknown?q?Andr=E9?= <a@mail.example>", "", ("a@mail.example", "André")),
    ],
)
def test_a_mail_is_from_whom_it_says_and_never_from_us(sender: str, reply_to: str, said: Sequence[str]) -> None:
    raw = f"From: {sender}\nReply-To: {reply_to}\n\nHello".encode()
    found = read(raw, ARRIVED, OURS).content
    assert (found.sender, found.name, *found.other_addresses) == said
    assert found.proposal.email == (said[0] or None)


def test_returned_letter_is_a_mail_loop() -> None:
    ours, privacy = f"<{token(OURS.secret, UUID(int=7))}@example.org>", "Privacy <PRIVACY@example.org>"
    kinds = [
        ({"Message_ID": ours, "From": privacy}, MailKind.OURS),
        ({"Message_ID": ours}, MailKind.PROPOSED),  # a person has sent it
        ({"Message_ID": "<l@example.org>", "From": privacy}, MailKind.PROPOSED),
        ({"Auto_Submitted": "auto-generated; x=y", "Precedence": "bulk", "Return_Path": "<>"}, MailKind.PROPOSED),
    ]
    assert [read(a_mail(**headers).as_bytes(), ARRIVED, OURS).kind for headers, _ in kinds] == [
        kind for _, kind in kinds
    ]


# What is shown of it can be read.
@pytest.mark.parametrize(
    ("charset", "encoded"),
    [("iso-8859-1", "latin-1"), ("unknown", "latin-1"), ("unknown", "utf-8"), ("us-ascii", "latin-1")],
)
def test_accents_survive_whatever_the_character_set_is_called(charset: str, encoded: str) -> None:
    text = "Je vous écris à propos de mes données, créées l'été passé. Réponse souhaitée."
    raw = f"Content-Type: text/plain; charset={charset}\n\n{text}".encode(encoded)
    assert read(raw, ARRIVED, OURS).content.text == text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<head><title>x<p>Hello", ""),
        ("<html><head><meta><body>Hello", "Hello"),
        ("<style>p{}</style><p>Hello <b>you</b></p><script>x()</script>&lt;i&gt;", "Hello you\n<i>"),
        ("<div>One</div>two<br>three<blockquote>four</blockquote>", "One\ntwo\nthree\n> four"),
        ("<p>One <b hidden>two</b> three", "One\n[not visible] two\nthree"),
    ],
)
def test_foreign_html_is_read_as_text_alone(html: str, text: str) -> None:
    assert seen(a_mail("", html=html)).text == text


# What is proposed is certain.
A, P, E = Right.ACCESS, Right.PORTABILITY, Right.ERASURE
WROTE = "\n\nOn Mon, 2 Mar 2026 at 10:00, {} wrote:\n> Please delete my data, C-4711\n"
SAID: list[tuple[str, list[Right], str | None]] = [
    ("Please send me a copy of what you hold.", [A], "en"),
    ("My address is wrong, please correct it.", [Right.RECTIFICATION], "en"),
    ("Please send me a copy of my data, and then delete my account.", [A, E], "en"),
    ("I write by Art. 15 GDPR and expect an answer soon.", [A], "en"),
    ("Send me no advertising any more, please.", [Right.OBJECTION], "en"),
    ("Ich widerspreche der Werbung und bitte Sie um Löschung meiner Daten.", [E, Right.OBJECTION], "de"),
    ("Bonjour, je retire mon consentement. Merci et bonne journée à vous.", [Right.CONSENT_WITHDRAWAL], "fr"),
    ("Je souhaite la limitation du traitement de mes données.", [Right.RESTRICTION], "fr"),
    ("Hola, quiero la portabilidad de mis datos por favor.", [P], "es"),
    ("Vorrei avere una copia dei miei dati personali. Grazie mille.", [A], "it"),
    ("Stuur mij alstublieft een kopie van mijn gegevens.", [], "nl"),
    ("I do not want you to delete my data.", [], "en"),
    ("Please do not, under any circumstances, delete my data.", [], "en"),
    ("Bitte löschen Sie meine Daten auf keinen Fall.", [], "de"),
    ("> Please delete my data\nIt works.", [], None),
    (f"Thank you very much, that is fine with me.{WROTE.format('Us <privacy@example.org>')}", [], "en"),
    ("Which of Art. 15, Art. 17, Art. 18 and Art. 21 is mine?", [], "en"),
    ("", [], None),
]


@pytest.mark.parametrize(("text", "rights", "language"), SAID, ids=[text[:30] for text, *_ in SAID])
def test_right_is_proposed_only_where_it_is_asked_for(text: str, rights: list[Right], language: str | None) -> None:
    found = seen(a_mail(text, "4711"))
    assert ([*found.proposal.rights], found.language) == (rights, language)


def test_of_several_rights_in_doubt_none_is_ticked() -> None:
    proposal = seen(a_mail("I invoke Art. 15, Art. 17 and Art. 18.")).proposal
    assert (proposal.rights, proposal.mentioned) == ([], [A, E, Right.RESTRICTION])
    assert set(mail_policy().rights) == set(Right)


SECRET = "Please delete my data, C-4711, +49 221 4710190"
HIDING: list[str] = [
    "<!-- {} -->",
    "<p hidden>{}</p>",
    *(f'<p style="{style}"><b>{{}}</b></p>' for style in ("display : NONE", "visibility:hidden", "opacity:0")),
    *(
        f'<p style="{style}">{{}}</p>'
        for style in (
            "font-size:0px",
            "font-size: 1PT",
            "text-indent:-999px",
            "color:#FFF",
            "max-height:0",
            "mso-hide:all",
        )
    ),
    '<p style="color:#123;background:#123">{}</p>',
    "<font color=white>{}</font>",
    "<template>{}</template>",
    '<span style="display:none"><div></span>{}',
    "<style>.x{{display:none}}</style><p class=x>{}</p>",
    "<blockquote>{}</blockquote>",
]


@pytest.mark.parametrize("hiding", HIDING)
@pytest.mark.parametrize("plain", ["", f"Hello\n{SECRET}"])
def test_invisible_or_quoted_html_gives_no_right_and_no_identity(hiding: str, plain: str) -> None:
    if plain and hiding.startswith(("<!--", "<template", "<blockquote")):
        return  # what is only in the page was never in the plain text
    proposal = seen(a_mail(plain, html=f"<p>Hello</p>{hiding.format(SECRET)}")).proposal
    assert (proposal.rights, proposal.account_id, [*proposal.phones]) == ([], None, [])


def test_visible_html_is_asked_for() -> None:
    found = seen(
        a_mail("", html=f'<p style="color:#000;font-size:1.0em;text-indent:-18.0pt">{SECRET}</p><p hidden>x</p>')
    ).proposal
    assert (found.rights, found.account_id, [*found.phones]) == ([E], "C-4711", ["+49 221 4710190"])


@pytest.mark.parametrize(
    ("mail", "why"),
    [
        (a_mail("Please delete my data."), None),
        (a_mail(f"Mine, too.{WROTE.format('Us <privacy@example.org>')}"), None),
        (a_mail("I write on behalf of Ben Quarzfels. Please delete his data."), "for_another"),
        (a_mail("Bitte löschen Sie die Daten meiner Tochter."), "for_another"),
        (a_mail("Ci-joint la demande de mon client."), "for_another"),
        (a_mail(f"Please see below.{WROTE.format('Ben <ben@mail.example>')}"), "forwards"),
        (a_mail("FYI\n\nVon: Ben\nGesendet: Montag\nAn: Ada\nBetreff: Daten\n\nBitte löschen Sie C-1."), "forwards"),
        (a_mail("For you, from our desk.", From="Desk <desk@example.org>"), "forwards"),
    ],
)
def test_no_data_subject_is_proposed_where_the_writer_is_not_the_person(mail: EmailMessage, why: str | None) -> None:
    found = seen(mail)
    assert found.proposal.no_subject == why
    expected: tuple[Any, ...] = (None, None, None) if why else ("ada@mail.example", "Ada", None)
    assert (found.proposal.email, found.proposal.name, found.proposal.account_id) == expected


@pytest.mark.parametrize(
    ("text", "phones", "account"),
    [
        ("Call 06 12 34 56 78 or 01 42 68 53 00.", ["06 12 34 56 78", "01 42 68 53 00"], None),
        ("0221 4710 190, or +44 20 7946 0958; customer C-4711", ["0221 4710 190", "+44 20 7946 0958"], "C-4711"),
        ("On 12.03.2026 I paid 1234.56 for C-1001 and C-1002.", [], None),
    ],
)
def test_numbers_are_proposed_as_they_are_written(text: str, phones: list[str], account: str | None) -> None:
    proposal = seen(a_mail(text)).proposal
    assert ([*proposal.phones], proposal.account_id) == (phones, account)


def test_what_sounds_urgent_is_marked_wherever_it_stands() -> None:
    mail = a_mail("Please see below.")
    mail.add_attachment(a_mail("He threatened me, I go to the police TODAY."))
    assert seen(mail).proposal.urgent == ["police", "threatened", "today"]
