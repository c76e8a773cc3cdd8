"""The doors: portal pages, mail, user events, the HTTP API and the ``dsr`` command; each leads to the same requests."""

import asyncio
import json
import os
import sys
from uuid import uuid4

from deploy.local.paths import ROOT
from tests.acceptance.client import PROOF, Case, tasks
from tests.acceptance.events import statuses
from tests.acceptance.mails import BOUNCE, code_in, link_in, mail, proof, proposed, text_of
from tests.acceptance.platforms import Platform
from tests.acceptance.scenario import FRAGILE, scenario
from tests.acceptance.systems import BERLIN, NOTHING, SINCE
from tests.fixtures.live import eventually

RECEIVED_IN = {
    "en": "We have received your request",
    "de": "Wir haben Ihren Antrag auf eine Kopie Ihrer Daten erhalten",
    "fr": "Nous avons reçu votre demande",
    "es": "Hemos recibido su solicitud",
}
STRAY = "+493029999999"
SEED = """
import json, sqlite3, sys
with sqlite3.connect(sys.argv[1], timeout=30) as store:
    email = json.load(sys.stdin)["email"]
    store.executemany("INSERT INTO invoice (email, cents) VALUES (?, 100)", [[email]] * 3)
print(3)
"""
"""A team's seeding of an invented person."""


# The portal, by its pages alone.


@scenario(together=tuple(RECEIVED_IN))
async def test_portal_request_proved_by_link(platform: Platform, language: str) -> None:
    """In each language a request is submitted in the portal, proved by the mailed link, and followed there only."""
    person = platform.new_person()
    async with platform.visitor() as visitor, platform.visitor() as elsewhere:
        reference = await visitor.ask(person.email, language=language)
        link = await proof(platform, person, link_in)
        assert f"/{language}/" in link
        await elsewhere.open(link)
        await elsewhere.open(link)  # a mail scanner looks too, and uses nothing up
        await elsewhere.send()
        page = f"/portal/{language}/request"
        assert (elsewhere.path, reference in elsewhere.text) == (page, True)
        await elsewhere.open(f"{page}/letters")
        assert RECEIVED_IN[language] in elsewhere.text
        assert (await visitor.open(page)).status == 403, "only who proved it follows it"


@scenario()
async def test_portal_request_proved_by_code_is_questioned_and_withdrawn(platform: Platform) -> None:
    """A mailed code proves a request in the browser that asked; its page answers a question and withdraws it."""
    person = platform.new_person()
    await platform.helpdesk.hold(person)
    async with platform.visitor() as visitor, platform.visitor() as eve:
        reference = await visitor.ask(person.email, right="portability")
        code = await proof(platform, person, code_in)
        await (await eve.open("/portal/en/follow")).send(reference=reference)
        assert "is wrong" in (await eve.send(code=code)).text, "it is good in the browser that asked"
        case = Case(platform.officer, reference)
        await case.act("question", question="identity", text="Since when is that mailbox yours?")
        await (await visitor.open("/portal/en/code")).send(code=code)
        assert (visitor.path, reference in visitor.text) == ("/portal/en/request", True)
        await visitor.open("/portal/en/request")
        assert "Since when is that mailbox yours?" in visitor.text
        await visitor.open("/portal/en/request/answer")
        await visitor.send(text="Since last year.")
        if visitor.path == "/portal/en/request/answer":  # systems have asked for more proof meanwhile
            assert "Since last year." in visitor.text
        else:
            assert (visitor.path, "question.answered" in await case.actions()) == ("/portal/en/request", True)

        async def withdrawn() -> bool:  # a letter that is sent meanwhile changes what the page was opened for
            await visitor.open("/portal/en/request/withdraw")
            if visitor.path.endswith("/withdraw"):
                await visitor.send()
            return bool((await case.view())["state"] == "closed")

        await eventually(withdrawn, within=240)
        assert (await case.view())["outcome"] in {"withdrawn", "fulfilled"}


# Mail.


@scenario()
async def test_mail_confirmed_by_an_officer_is_a_request(platform: Platform) -> None:
    """A mail is proposed with what it states; confirmed, it waits for proof, which the mail is none of."""
    person = platform.new_person()
    account = f"C-{4000 + person.number}"
    platform.mailbox.put(mail(person, f"Ich bitte um Auskunft über meine Daten. Meine Kundennummer ist {account}."))
    shown = await proposed(platform, person)
    said = [shown["content"]["proposal"][name] for name in ("rights", "email", "account_id")]
    assert (said, shown["content"]["language"], shown["by_mx"]) == ([["access"], person.email, account], "de", True)
    subject = {"email": person.email, "country": "DE"}
    [case] = await platform.officer.confirm(shown["mail_id"], "access", language="de", subject=subject)
    view = await case.view()
    assert (view["received_at"][:16], view["state"]) == ("2026-03-02T08:00", "awaiting_identity")
    [receipt, *_] = await platform.mails(person, 1)
    assert RECEIVED_IN["de"] in text_of(receipt)
    async with platform.visitor() as visitor:
        await (await visitor.open(await proof(platform, person, link_in))).send()
        assert visitor.path == "/portal/de/request"
    await case.until("in_progress")


@scenario()
async def test_reply_and_bounce_find_their_letter(platform: Platform) -> None:
    """A reply and a bounce find their request; a reply with a forged reference waits as a new mail."""
    person, stranger, gone = (platform.new_person() for _ in range(3))
    case, unread = [
        await platform.officer.ask(each.submission("restriction", "email", proved=False, channel="email"))
        for each in (person, gone)
    ]
    [receipt, *_] = await platform.mails(person, 1)
    await platform.mails(gone, 1)
    sender = next(each.sender for each in platform.mail.taken if each.to == gone.email)
    said = BOUNCE.format(to=sender, id=uuid4().hex, email=gone.email)
    platform.mailbox.put(said.replace("\n", "\r\n").encode())
    named = receipt["Message-ID"]
    platform.mailbox.put(mail(person, "Since last year.", more=f"In-Reply-To: {named}\n"))
    local, _, domain = named.partition("@")
    forged = f"{local[:-6]}aaaaaa@{domain}"
    platform.mailbox.put(mail(stranger, "Mine, too.", more=f"In-Reply-To: {forged}\n"))
    assert (await proposed(platform, person, "reply"))["request_id"] == case.request_id
    assert (await proposed(platform, stranger))["request_id"] is None
    assert "mail.answers" in await case.actions("mail.answers")

    async def returned() -> list[str]:
        waiting = await platform.officer.listed("letters")
        return [each["fault"] for each in waiting if each["request_id"] == unread.request_id and each["fault"]]

    assert await eventually(returned, within=240) == ["returned"]


# User events.


@scenario()
async def test_event_of_marketing_an_account_or_a_number_takes_effect(platform: Platform) -> None:
    """Objection and withdrawal become requests, an account is closed once, an unknown number becomes a conflict."""
    objecting, withdrawing, leaving = (platform.new_person() for _ in range(3))
    for each in (objecting, withdrawing):
        await platform.shop.hold(each)
    async with platform.emitter("selfcare") as selfcare:
        stated = {
            name: await selfcare.door.token({"subject": each.identities("email", "account_id"), "assurance": PROOF})
            for name, each in (("objected", objecting), ("withdrew", withdrawing))
        }
        await selfcare.say_in_headers("user.objected_to_marketing", stated["objected"])
        await selfcare.say("user.consent_withdrawn", stated["withdrew"], purpose="marketing")
        account = await selfcare.door.token({"subject": leaving.identities("account_id"), "assurance": PROOF})
        await selfcare.say("user.account_closed", account, closed_at="2026-03-01T00:00:00+01:00")
        await selfcare.say("user.account_closed", account, closed_at="2026-03-02T00:00:00+01:00")
        rights = [
            (await Case(selfcare.door, (await arrived(Case(selfcare.door, token))).request_id).closed())["right"]
            for token in stated.values()
        ]
        assert rights == ["objection", "consent_withdrawal"]
    for each in (objecting, withdrawing):
        assert (await platform.shop.held(each)).marketing is False
    assert "subject_used" in await set_aside(platform, "subject_used")
    person = platform.new_person()
    await platform.crm.hold(person, since=SINCE)
    subject = {"account_id": person.account_id, "phones": [{"number": STRAY}]}
    async with platform.emitter("numbering") as numbering:

        async def conflict() -> set[str]:
            tokens.add(token := await numbering.door.token({"subject": subject}))  # the register may not be filled yet
            await numbering.say("number.released", token, until="2026-02-01T00:00:00+00:00")
            listed = await platform.officer.listed("assignment-conflicts")
            return {each["kind"] for each in listed if each["request_id"] in tokens}

        tokens: set[str] = set()
        assert await eventually(conflict, within=240, every=1) == {"not_in_register"}


@scenario()
async def test_example_of_the_docs_asks_by_an_event(platform: Platform) -> None:
    """The lines of the documentation, run as they stand, make a request that closes and whose status is read back."""
    person = platform.new_person()
    said = json.dumps({name: person.submission("access")[name] for name in ("subject", "assurance", "proofs")})
    async with platform.emitter("selfcare") as selfcare:
        key = selfcare.door.headers["Authorization"].removeprefix("Bearer ")
        env = {**os.environ, "API": platform.services.url, "API_KEY": key, "KAFKA": platform.kafka.bootstrap}
        command = (sys.executable, str(ROOT / "docs" / "examples" / "send_user_event.py"), said)
        process = await asyncio.create_subprocess_exec(*command, env=env, stdout=asyncio.subprocess.PIPE)
        printed, _ = await process.communicate()
    states = await statuses(platform.kafka.bootstrap, printed.decode().strip())
    assert (states[0]["state"], states[-1]["outcome"]) == ("in_progress", "no_data")


async def arrived(case: Case) -> Case:
    """The request that an event asks for, once it is there."""

    async def known() -> bool:
        return (await case.door.get(f"/v1/requests/{case.request_id}")).is_success

    await eventually(known, within=240)
    return case


async def set_aside(platform: Platform, awaited: str = "") -> str:
    """The list of what intake has set aside, once that stands in it."""

    async def listed() -> str:
        status, printed = await platform.dsr("dead-letters", "list", "intake")
        assert status == 0, printed
        return printed if awaited in printed else ""

    return str(await eventually(listed, within=240, every=1))


# The API.


@scenario()
async def test_several_requests_come_as_a_batch_or_in_one_message(platform: Platform) -> None:
    """A batch is stored in its order, or not at all; a message of two rights is one case, the copy first."""
    people = [platform.new_person() for _ in range(3)]
    said = [each.submission("restriction", "email", proved=False) for each in people]
    cases = await platform.channel.ask_together(said)
    assert [(await each.view())["right"] for each in cases] == ["restriction"] * 3
    stranger = platform.new_person()
    good = stranger.submission("access", "email", proved=False)
    answer = await platform.channel.post("/v1/requests/batch", json={"requests": [good, {**good, "right": "nothing"}]})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"].startswith("requests.1")
    assert await platform.officer.found(stranger.email) == []
    person = platform.new_person()
    for system in (platform.shop, platform.helpdesk, platform.billing):
        await system.hold(person)
    access, erasure = await platform.ask_jointly(person, "access", "erasure")
    views = [await each.closed() for each in (access, erasure)]
    assert [(view["right"], view["outcome"]) for view in views] == [("access", "fulfilled"), ("erasure", "fulfilled")]
    assert len({view["case"]["case_number"] for view in views}) == 1
    package = await access.package()
    assert [each["city"] for each in package.of("shop")] == [BERLIN]
    for system in (platform.shop, platform.helpdesk, platform.billing):
        assert (len(package.of(system.name)), await system.held(person)) == (1, NOTHING)


SEPARATING = {"shop", "archive"}
"""Systems that separate the company's customers."""


@scenario()
async def test_instruction_of_a_customer_reaches_its_own_data_alone(platform: Platform) -> None:
    """A customer's key erases its rows; systems that do not tell customers apart are not touched (Art. 28)."""
    person = platform.new_person()
    for system in (platform.shop, platform.helpdesk):
        await system.hold(person)
    await platform.shop.hold(person, tenant="acme")
    async with platform.door("channel", tenant="acme") as acme, platform.door("channel", tenant="bolt") as bolt:
        case = await acme.ask(person.submission("erasure", instruction_id=uuid4().hex))
        done = tasks(await case.until("awaiting_decision"))
        assert {name for name, task in done.items() if task.get("failure") == "not_supported"} == {*done} - SEPARATING
        assert {done[name].get("failure") for name in SEPARATING} == {None}
        assert await platform.shop.tenants(person) == ["shop"]
        assert (await platform.helpdesk.held(person)).rows == 1
        for stranger in (bolt, platform.channel):
            assert (await stranger.get(f"/v1/requests/{case.request_id}")).status_code == 404
        ours = await platform.ask(person, "restriction", proved=False)
        assert (await acme.get(f"/v1/requests/{ours.request_id}")).status_code == 404
        await case.act("withdraw")
        assert (await case.closed())["outcome"] == "withdrawn"


# The command.


@scenario()
async def test_command_submits_follows_lists_and_shows(platform: Platform) -> None:
    """``dsr request`` submits a request once, follows it until it is closed, lists it and shows what was done."""
    person = platform.new_person()
    await platform.helpdesk.hold(person)
    said = json.dumps(person.submission("access"))
    submit = ("request", "submit", "--idempotency-key", uuid4().hex, "--json")
    async with platform.door("channel") as door:
        printed = [(await platform.dsr(*submit, door=door, said=said))[1] for _ in range(2)]
        request_id, again = [json.loads(each)["request_id"] for each in printed]
        assert request_id == again
        status, said = await platform.dsr("request", "follow", request_id, "--within", "90s", "--text", door=door)
        assert (status, "closed: fulfilled" in said) == (0, True), said
        listed = await platform.dsr("request", "list", "--json", door=door)
        assert [json.loads(line)["request_id"] for line in listed[1].splitlines()] == [request_id]
        status, said = await platform.dsr("request", "show", request_id, door=door)
        assert (status, "helpdesk" in said, person.email in said) == (0, True, False), said


@scenario(on=FRAGILE)
async def test_command_lists_systems_and_examines_a_team(platform: Platform) -> None:
    """``dsr`` names each system, and runs every operation of a team on people whom it invents, and who are gone."""
    status, printed = await platform.dsr("downstreams", "list", "--json")
    assert (status, [name for name in platform.systems if name not in printed]) == (0, []), printed
    seed = json.dumps([sys.executable, "-I", "-S", "-c", SEED, str(platform.billing.store)])
    file = platform.services.directory / "examined.toml"
    file.write_text(
        f"{platform.billing.declaration}[billing.conformance]\nseed = {{ command = {seed} }}\nwithin_s = 150\n"
    )
    status, printed = await platform.dsr("conformance", str(file), "--system", "billing", "--json")
    found = {check: each["word"] for check, each in json.loads(printed)["billing"].items()}
    assert (status, {*found.values()} - {"yes", "skipped", "not declared"}) == (0, set()), printed
    assert [*found.values()].count("yes") > 5
