"""Hostile input at each door, next to another person's request, which must go on."""

import asyncio
import gzip
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

import httpx
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse

from tests.acceptance.client import Case, Door, failure, tasks
from tests.acceptance.mails import mail, proposed
from tests.acceptance.pairs import Pair, expected
from tests.acceptance.platforms import Platform
from tests.acceptance.scenario import scenario
from tests.acceptance.systems import BERLIN, NOTHING, Held
from tests.acceptance.test_doors import arrived, set_aside
from tests.fixtures.live import eventually
from tests.fixtures.package_check import check
from tests.fixtures.wire import JUNK

MIB = 2**20
CONSENT_ENDED = date(2025, 3, 31)
CUT = 0
"""The connection was closed without an answer."""
Send = Callable[[Platform, Door], Awaitable[Sequence[int]]]
VICTIM = {"right": "erasure", "subject": {"email": "hostile@example.org"}}
CHANGES = ("erasure", "rectification", "restriction", "objection")


@asynccontextmanager
async def bystander(platform: Platform) -> AsyncIterator[None]:
    """Runs another person's erasure to its end meanwhile."""
    person = platform.new_person()
    await platform.helpdesk.hold(person)
    case = await platform.ask(person, "erasure")
    yield
    assert (await case.closed())["outcome"] == "fulfilled"
    assert await platform.helpdesk.held(person) == NOTHING
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        health = [await client.get(f"{platform.services.url_of(each)}/healthz") for each in platform.services.ports]
    assert {answer.status_code for answer in health} == {200}


# The HTTP API.


class Hostile(NamedTuple):
    """Hostile input, and the expected answers."""

    what: str
    send: Send
    answers: set[int]


def post(body: object, path: str = "", headers: Mapping[str, str] | None = None) -> Send:
    """This body, with the key of the hostile client unless the headers give another."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()

    async def send(_: Platform, client: Door) -> Sequence[int]:
        try:
            return [await client.posted(content, path, **(headers or {}))]
        except httpx.TransportError:
            return [CUT]

    return send


def raw(content: bytes) -> Send:
    """These bytes, over a connection of their own, to each of the services; nothing more is ever sent."""

    async def send(platform: Platform, _: Door) -> Sequence[int]:
        return await asyncio.gather(*(_said(port, content) for port in platform.services.ports.values()))

    return send


async def _said(port: int, content: bytes) -> int:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with suppress(ConnectionError):
            writer.write(content)
            await writer.drain()
        line = await reader.readline()
        writer.close()
        return int(line.split()[1]) if line else CUT
    except ConnectionError:
        return CUT


async def guess(_: Platform, client: Door) -> Sequence[int]:
    """Unknown keys, one after the other."""
    keys = [f"dsr_{secrets.token_hex(6)}_{'x' * 43}" for _ in range(50)]
    return [await client.posted(b"{}", Authorization=f"Bearer {key}") for key in keys]


async def silent(platform: Platform, client: Door) -> Sequence[int]:
    """Connections that say nothing, while a request is submitted."""
    port = next(iter(platform.services.ports.values()))
    opened = [(await asyncio.open_connection("127.0.0.1", port))[1] for _ in range(300)]
    answered = await client.posted(json.dumps(platform.new_person().submission("access")).encode())
    for writer in opened:
        writer.close()
    return [answered]


def numbers(number: str, requests: int) -> dict[str, Any]:
    """A batch of requests with 50 numbers each."""
    return {"requests": [{**VICTIM, "subject": {"phones": [{"number": number, "region": "ES"}] * 50}}] * requests}


CORRECTION = {**VICTIM, "right": "rectification", "changes": [{"field": "address.city", "asserted": "B\0"}]}
INPUT = [
    Hostile("padded numbers", post(numbers("688886392" + ";" * 400, 25), "/batch"), {422}),
    Hostile("numbers in many spellings", post(numbers("688 88 63 92 ext. 12", 20), "/batch"), {201}),
    Hostile("more numbers than are looked at", post(numbers("+34688886392", 101), "/batch"), {413}),
    Hostile("a NUL in a name", post({**VICTIM, "subject": {"email": "x@example.org", "name": "A\0"}}), {422}),
    Hostile("a NUL in a correction", post(CORRECTION), {422}),
    Hostile("half a surrogate pair", post(json.dumps(VICTIM).replace("hostile", "\\ud800").encode()), {422}),
    Hostile("24 MiB without a key", post(b" " * (24 * MIB), headers={"Authorization": "x"}), {401, CUT}),
    Hostile("5 MiB with a key", post(b" " * (5 * MIB), "/batch"), {413, CUT}),
    Hostile("1 MiB of one submission", post(b" " * MIB), {413, CUT}),
    Hostile("unknown keys", guess, {401, 429}),
    Hostile("a request of the year 1", post({**VICTIM, "received_at": "0001-01-01T00:00:00+14:00"}), {422}),
    Hostile("a request of the epoch", post({**VICTIM, "received_at": 0}), {422}),
    Hostile("a name that comes twice", post(json.dumps(VICTIM).encode()[:-1] + b',"right":"access"}'), {422}),
    Hostile("nesting without end", post(b"[" * MIB, "/batch"), {422}),
    Hostile("a body that is all wrong", post({"requests": [{str(n): n for n in range(64)}] * 500}, "/batch"), {422}),
    Hostile("a trailing slash", post(VICTIM, "/", headers={"Host": "evil.example"}), {404}),
    Hostile("an escaped path", post(VICTIM, "%2f..%2fbatch"), {404}),
    Hostile("no JSON", post(b"<a/>", headers={"Content-Type": "text/xml"}), {415}),
    Hostile("a bomb", post(gzip.compress(b" " * MIB), headers={"Content-Encoding": "gzip"}), {415}),
    Hostile("a traceparent of 2 MiB", post(VICTIM, headers={"traceparent": "0" * (2 * MIB)}), {431, CUT}),
    Hostile("4 MiB of headers", raw(b"GET / HTTP/1.1\r\nX-A: " + b"a" * (4 * MIB)), {431, CUT}),
    Hostile("a long address", raw(b"GET /" + b"a" * MIB + b" HTTP/1.1\r\n\r\n"), {431, CUT}),
    Hostile("no HTTP", raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), {400}),
    Hostile("a head that stops", raw(b"GET / HTTP/1.1\r\nX-A: b\r\n"), {408, CUT}),
    Hostile("connections that say nothing", silent, {201}),
]


@scenario()
async def test_hostile_input_gets_its_answer_and_others_go_on(platform: Platform) -> None:
    """Each gets its error concurrently, and no other request waits."""
    async with bystander(platform), platform.door("channel") as client:
        answered = await asyncio.gather(*(row.send(platform, client) for row in INPUT))
    wrong = {row.what: said for row, said in zip(INPUT, answered, strict=True) if not row.answers.issuperset(said)}
    assert not wrong


# Keys and what they may do.


@scenario()
async def test_key_opens_what_it_was_made_for_until_it_is_revoked(platform: Platform) -> None:
    """A key with a wrong secret, revoked, of a small channel or of another role opens nothing beyond its limits."""
    async with platform.door("channel") as door:
        case = await door.ask(platform.new_person().submission("access", proved=False))
        forged = door.key[:-4] + ("aaaa" if not door.key.endswith("aaaa") else "bbbb")
        async with Door(platform.services.url, forged) as thief:
            assert (await thief.refused(VICTIM)).status_code == 401
        await platform.command("api-key", "revoke", door.key.split("_")[1])
        await eventually(lambda: door.is_shut(case.request_id), within=240)  # a key is believed for ten seconds
        assert (await door.refused(VICTIM)).status_code == 401
    view = await case.seen_by(platform.officer).view()
    assert view["state"] == "awaiting_identity"
    person = platform.new_person()
    made = ("--level", "L1", "--right", "erasure", "--may", "submit")
    key = (await platform.command("api-key", "new", "--role", "channel", "--holder", "small", *made)).strip()
    async with Door(platform.services.url, key) as door:
        assert (await door.refused(person.submission("erasure", "email"))).status_code == 403
        assert (await door.refused(person.submission("access", "email", proved=False))).status_code == 403
        case = await door.ask(person.submission("erasure", "email", proved=False))
        assert await door.status_of(case.request_id, "/package") == 403
        assert (await door.checked(person.email)).status_code == 403
    assert (await case.seen_by(platform.officer).view())["right"] == "erasure"
    person = platform.new_person()
    await platform.shop.hold(person)
    case = await platform.ask(person, "restriction")
    before = await case.closed()
    assert await case.refused("lift") == "forbidden"
    assert await case.refused("decision", decision="retry") == "forbidden"
    assert await case.refused("forward", controller="x") == "forbidden"
    assert await case.refused("question", question="clarification", text="What?") == "forbidden"
    assert (await platform.channel.get("/v1/letters")).status_code == 403
    async with Door(platform.services.url, "dsr_guessed_key") as unknown, platform.door("downstream:billing") as team:
        assert [(await each.refused(VICTIM)).status_code for each in (unknown, team)] == [401, 403]
        assert await unknown.status_of(case.request_id) == 401
    assert await case.view() == before
    assert (await platform.shop.held(person)).restricted is True


@scenario()
async def test_channel_sees_and_repeats_no_request_of_another_channel(platform: Platform) -> None:
    """One channel's request and package are hidden from another; an idempotency key is each channel's own."""
    person = platform.new_person()
    await platform.shop.hold(person)
    case = await platform.ask(person, "access")
    await case.closed()
    async with platform.door("channel") as other:
        answers = [await other.status_of(case.request_id, part) for part in ("", "/letters", "/timeline", "/package")]
        assert answers == [404] * 4
    assert [each["city"] for each in (await case.package()).of("shop")] == [BERLIN]
    assert not check(await platform.channel.download(case.request_id, "package")).faults
    first, second = platform.new_person(), platform.new_person()
    name = secrets.token_hex(8)
    async with platform.door("channel") as one, platform.door("channel") as other:
        mine = await one.submit(first.submission("access"), **{"Idempotency-Key": name})
        theirs = await other.submit(second.submission("access"), **{"Idempotency-Key": name})
        assert mine != theirs
        assert await one.submit(first.submission("access"), **{"Idempotency-Key": name}) == mine
        another = json.dumps(second.submission("access")).encode()
        assert await one.posted(another, **{"Idempotency-Key": name}) == 422
        await Case(other, theirs).closed()
        assert (await Case(platform.officer, mine).actions()).count("request.received") == 1
        assert await other.status_of(mine) == 404


# Systems that answer what they should not.


def drips() -> Response:
    """A body that does not end."""

    async def drops() -> AsyncIterator[bytes]:
        yield b'{"contacts": ['
        while True:
            yield b" "
            await asyncio.sleep(0.1)  # the answer is slow, that is what it shows

    return StreamingResponse(drops(), media_type="application/json")


def bomb() -> Response:
    """A few kilobytes that unpack to 24 MiB and say that nothing is found."""
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    return Response(gzip.compress(b" " * (24 * MIB) + b'{"contacts": []}'), headers=headers)


class Wrong(NamedTuple):
    """An answer about one person, and the failure for which an officer then looks; "": it is asked again."""

    answer: Callable[[], Response]
    failure: str


WRONG = {
    "a bomb": Wrong(bomb, "answer_malformed"),
    "a body that drips": Wrong(drips, ""),
    "a redirect": Wrong(lambda: RedirectResponse("http://127.0.0.1:1/"), "refused"),
    "no JSON": Wrong(lambda: Response(b"<html>", media_type="application/json"), "answer_malformed"),
    "other JSON": Wrong(lambda: JSONResponse({"contacts": {"email": 7}}), "answer_malformed"),
    "an error of the caller": Wrong(lambda: JSONResponse({"error": "no"}, 400), "refused"),
}


@scenario()
async def test_wrong_answers_of_some_people_delay_those_alone(platform: Platform) -> None:
    """Nonsense about a person erases nothing, and all other requests go on."""
    people = {what: platform.new_person() for what in WRONG}
    for what, person in people.items():
        await platform.helpdesk.hold(person)
        platform.helpdesk.says[person.email] = WRONG[what].answer
    async with bystander(platform):
        cases = {what: await platform.ask(person, "erasure") for what, person in people.items()}
        judged = {what: cases[what] for what, wrong in WRONG.items() if wrong.failure}
        failures = {what: failure(await case.judged(), "helpdesk") for what, case in judged.items()}
    assert failures == {what: WRONG[what].failure for what in judged}
    assert {(await platform.helpdesk.held(person)).rows for person in people.values()} == {1}
    for person in people.values():
        del platform.helpdesk.says[person.email]
    for case in judged.values():
        await case.seen_by(platform.officer).act("decision", decision="retry")
    for case in cases.values():
        task = tasks(await case.closed())["helpdesk"]
        assert (task["outcome"], task["changed"]) == ("erased", 1)


@scenario(together=(("access", "helpdesk"), ("erasure", "helpdesk"), ("erasure", "shop")))
async def test_hit_of_another_person_touches_nothing(platform: Platform, asked: tuple[str, str]) -> None:
    """A search without its filter (Art. 15(4)), or a parcel of two people (Art. 5(1)(f)), needs a person to decide."""
    (right, kind), people = asked, [platform.new_person() for _ in range(2)]
    held: Callable[..., Awaitable[object]] = platform.helpdesk.held
    if kind == "shop":
        held = platform.shop.deliveries
        for each in people:
            await platform.shop.hold_deliveries(each, 1)
        await platform.shop.hold_parcel(*people)
    else:
        for each in people:
            await platform.helpdesk.hold(each)
        both = [each for each in platform.helpdesk.contacts.values() if each["email"] in {one.email for one in people}]
        platform.helpdesk.says[people[0].email] = lambda: JSONResponse({"contacts": both})
    before = [await held(each) for each in people]
    view = await (await platform.ask(people[0], right)).judged()
    assert (failure(view, kind), view["outcome"], view["package"]) == ("wrong_person_match", None, False)
    assert [await held(each) for each in people] == before


UNCHANGED = (
    *(("helpdesk", right) for right in ("rectification", "objection")),  # its index may show the erased for a day
    *(("shop", right) for right in ("erasure", "rectification", "objection")),  # a trigger undoes each change
    *(("billing", right) for right in ("erasure", "restriction")),
)
ASKED = {"plan", "locate"}
"""Operations of a team before a change, and after it."""
LIES = {"erasure": {"outcome": "erased"}, "restriction": {"outcome": "amended"}}


@scenario(together=UNCHANGED)
async def test_yes_without_a_change_is_found_out_by_a_second_look(platform: Platform, case: tuple[str, str]) -> None:
    """A system that says yes and changes nothing is searched again, and the request stays open."""
    (kind, right), person = case, platform.new_person()
    system: Any = platform.systems[kind]
    await system.hold(person, **({"city": "stuck"} if kind == "shop" else {}))
    before = await system.held(person)
    if kind == "helpdesk":
        system.lies.add(person.email)
    if kind == "billing":
        lie = {**LIES[right], "found": 1, "changed": 1}
        system.says[person.email] = lambda task: None if task["operation"] in ASKED else system.reply(task, **lie)
    asked = await platform.ask(person, right)
    view = await asked.judged()
    assert (failure(view, kind), view["outcome"]) == ("data_still_present", None)
    assert await system.held(person) == before
    if kind == "helpdesk":
        system.lies.discard(person.email)
        await asked.seen_by(platform.officer).act("decision", decision="retry")
        assert (await asked.closed())["outcome"] == "fulfilled"
        assert await system.held(person) != before


@scenario(together=("access", "erasure", "restriction", "unsigned rule"))
async def test_what_exceeds_a_limit_waits_for_two_officers(platform: Platform, what: str) -> None:
    """Two officers confirm a change of many rows, or of those of an unsigned rule (Art. 17(3)); a copy has no limit."""
    person, before = platform.new_person(), Held(61, BERLIN, restricted=False, marketing=True)
    unsigned = what == "unsigned rule"
    right, limit = ("erasure", "unsigned_rows") if unsigned else (what, "max_rows")
    if unsigned:
        await platform.shop.hold_consent(person, CONSENT_ENDED)
    else:
        await platform.shop.hold_deliveries(person, before.rows)

    async def held() -> object:
        return await (platform.shop.consents(person) if unsigned else platform.shop.deliveries(person))

    case = await platform.ask(person, right)
    if right == "access":
        assert tasks(await case.closed())["shop"]["found"] == 61
        assert len((await case.package()).of("shop")) == 61
        return
    officer, colleague = case.seen_by(platform.officer), case.seen_by(platform.colleague)
    view = await officer.judged()
    beyond = [task["exceeded"] for task in view["tasks"] if task.get("exceeded")]
    if unsigned:
        assert (failure(view, "shop"), view["outcome"]) == ("rule_unsigned", None)
    else:
        assert beyond == [{"limit": "max_rows", "found": 61, "allowed": 60}]
    await officer.act("confirmation", system="shop", limit=limit)
    assert await officer.refused("confirmation", system="shop", limit=limit) == "same_person"
    assert await held() == (1 if unsigned else [before])
    await colleague.act("confirmation", system="shop", limit=limit)
    assert (await case.closed())["outcome"] == "fulfilled"
    after = expected(Pair(right, "shop", ""), before)
    wanted = 0 if unsigned else [after] if after.rows else []

    async def reached() -> bool:  # what waited to be corrected was restricted meanwhile (Art. 18(1)(a))
        return await held() == wanted

    assert await eventually(reached, within=180)


@scenario()
async def test_call_between_two_people_keeps_what_is_the_others(platform: Platform) -> None:
    """Two people erased in one batch leave the third person's side of a call, and nothing of their own (Art. 17)."""
    first, second, other = (platform.new_person() for _ in range(3))
    for each in (first, second):
        await platform.crm.hold(each, until=datetime(2026, 5, 1, tzinfo=UTC))
    moment = datetime(2026, 4, 1, tzinfo=UTC)
    for caller, callee in ((first, other), (second, first), (other, second)):
        await platform.shop.hold_call(caller.phone, callee.phone, moment)
    cases = [await platform.ask(each, "erasure", "email", "account_id") for each in (first, second)]
    for case in cases:
        assert (await case.closed())["outcome"] == "fulfilled"
    assert [await platform.shop.calls(each.phone) for each in (first, second)] == [[], []]
    calls = sorted(each[1:] for each in await platform.shop.calls(other.phone))
    assert calls == [("", other.phone), (other.phone, "")]


# The bus.


@scenario()
async def test_replies_that_do_not_add_up_or_are_anothers_count_for_nothing(platform: Platform) -> None:
    """A team's wrong counts, junk, or reply to another system's task end nothing; its claim opens nothing elsewhere."""
    person, other, team = platform.new_person(), platform.new_person(), platform.billing
    await team.hold(person)
    await platform.helpdesk.hold(other)
    counts = {"outcome": "erased", "found": 3, "changed": 1, "remaining": 2}
    team.says[person.email] = lambda task: team.reply(task, **counts) if task["operation"] == "erase" else None
    platform.helpdesk.says[other.email] = lambda: JSONResponse({"error": "no"}, 400)
    case, anothers = [await platform.ask(each, "erasure") for each in (person, other)]
    before = await anothers.judged()
    ids = {"task_id": tasks(before)["helpdesk"]["task_id"], "command_id": anothers.request_id, "operation": "erase"}
    forged = team.reply(ids, outcome="erased", found=1, changed=1)
    async with bystander(platform):
        await platform.bus.say("dsr.tasks.billing.replies", forged, b"\xff\x00junk", b"[" * 100_000, b"{}", **JUNK)
        view = await case.judged()
        await platform.bus.drained()
    assert (failure(view, "billing"), view["outcome"]) == ("answer_malformed", None)
    assert await anothers.view() == before
    assert [(await each.held(of)).rows for each, of in ((team, person), (platform.helpdesk, other))] == [1, 1]
    del team.says[person.email]
    await case.seen_by(platform.officer).act("decision", decision="retry")
    assert (await case.closed())["outcome"] == "fulfilled"
    assert await team.held(person) == NOTHING
    [task, *_] = await platform.bus.tasks_of(case.request_id, "billing")
    assert person.email not in json.dumps(task)
    async with platform.door("downstream:shop") as thief, platform.door("channel") as channel:
        assert [await each.claimed(task["claim"]) for each in (thief, channel, platform.officer)] == [403, 403, 403]
        assert await thief.claimed("x" * 200) in {400, 401, 403, 409, 410, 422}


@scenario()
async def test_events_that_are_junk_repeated_or_anothers_ask_for_nothing(platform: Platform) -> None:
    """Junk, an address in place of a token, what the sender may not say, a repeat: nothing; the next event is read."""
    person, other, repeating = (platform.new_person() for _ in range(3))
    said = {"subject": person.identities("account_id", "phones")}
    async with platform.emitter("selfcare") as selfcare, platform.emitter("numbering") as numbering:
        unknown, anothers, undeclared = [await each.door.token(said) for each in (selfcare, numbering, numbering)]
        token = await selfcare.door.token({"subject": repeating.identities(), **repeating.proof()})
        for _ in range(2):
            await selfcare.say("user.requested.access", token, "once-" + token)
        await selfcare.say("user.logged_in", token, junk=True)
        for junk in (b"\xff\xfe", b"{" * 100_000, b"{", b""):
            await selfcare.send(junk)
        await selfcare.say("user.requested.access", person.email, junk=True)
        await selfcare.say("user.requested.everything", unknown, junk=True)
        await selfcare.say("user.requested.access", anothers)
        await numbering.say("user.requested.access", undeclared)
        await (await arrived(await selfcare.asks(other, "access"))).closed()
        assert person.email not in await set_aside(platform, "not_declared")
        assert person.email not in await set_aside(platform, "malformed_event")
        assert (await Case(selfcare.door, token).closed())["right"] == "access"
        assert (await Case(platform.officer, token).actions()).count("request.received") == 1
        assert [await platform.officer.status_of(token) for token in (unknown, anothers, undeclared)] == [404] * 3


# Mail.


@scenario()
async def test_hostile_mail_waits_for_an_officer_and_the_next_is_read(platform: Platform) -> None:
    """Bombs, junk and loops become no request and no letter; the mail after them is read and worked."""
    person, hostile = platform.new_person(), platform.new_person()
    ours = replace(hostile, address="privacy@company.example")
    nested = b"".join(b"--%d\r\nContent-Type: multipart/mixed; boundary=%d\r\n\r\n" % (n, n + 1) for n in range(2000))
    plain = mail(hostile, "Please tell me what you hold.")
    for each in (
        plain.replace(b"text/plain; charset=utf-8", b"multipart/mixed; boundary=0") + nested,
        plain.replace(b"utf-8", b"utf-7") + bytes(range(256)) * 40,
        mail(hostile, "I am away.", more="Auto-Submitted: auto-replied\nPrecedence: bulk\n"),
        mail(ours, "Please tell me what you hold."),
        mail(hostile, "Hello", more="".join(f"X-{n}: {'a' * 900}\n" for n in range(2000))),
        b"\x00\xff" * 10_000,
        b"",
        mail(person, "Please tell me what you hold.", subject=f"<script>alert({person.number})</script>"),
    ):
        platform.mailbox.put(each)
    async with bystander(platform):
        found = await proposed(platform, person)
    [case] = await platform.officer.confirm(found["mail_id"], "access", subject={"email": person.email})
    assert (await case.view())["right"] == "access"
    await platform.mails(person, 1)
    assert hostile.email not in [each.to for each in platform.mail.taken]


# The portal.


@scenario()
async def test_portal_refuses_forged_forms_cookies_and_paths(platform: Platform) -> None:
    """Forms without the page's token, with a forged cookie, of any size, and paths that lead out are refused."""
    base = f"{platform.services.url}/portal/"
    async with bystander(platform), httpx.AsyncClient(trust_env=False, timeout=30) as browser:
        page = f"{base}en/ask/right"
        assert (await browser.post(page, data={"right": "erasure"})).status_code in {400, 403, 409, 410, 422}
        assert (await browser.get(page)).status_code == 200
        forged = {"cookie": f"dsr-portal={'A' * 43}", "origin": "https://evil.example"}
        answer = await browser.post(page, data={"right": "erasure", "csrf": "A" * 43}, headers=forged)
        assert answer.status_code in {400, 403, 409, 410, 422}
        large = await browser.post(page, data={"right": "a" * (2 * MIB)})
        assert large.status_code in {400, 413}
        many = await browser.post(page, data={f"f{n}": "x" for n in range(5000)})
        assert many.status_code in {400, 403, 409, 413}
        for path in ("static/..%2f..%2fportal.py", "static/%2e%2e/templates/base.html", "xx/ask/right", "en/%00"):
            assert (await browser.get(base + path)).status_code in {400, 404}, path
        shown = await browser.get(f"{base}en/", params={"next": "//evil.example", "q": "<script>alert(1)</script>"})
        assert "<script>alert" not in shown.text
        assert "default-src" in shown.headers["content-security-policy"]
