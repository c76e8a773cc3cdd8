"""The promises of the README and of the design that no pair of right and system shows."""

import asyncio
import base64
import json
import re
import secrets
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from deploy.demo.traces import Seeker
from tests.acceptance.client import Case
from tests.acceptance.platforms import Platform
from tests.acceptance.scenario import FRAGILE, scenario
from tests.acceptance.systems import SINCE
from tests.acceptance.test_systems import declared


@scenario()
async def test_nothing_that_names_a_person_is_on_the_bus_in_logs_or_metrics(platform: Platform) -> None:
    """No topic, log or metric names anybody, plain, escaped, in base64 or in hex (Art. 5(1)(f), 32)."""
    values, requests = [], []
    for right in ("access", "erasure", "rectification"):  # each form of each value is looked for in all that was said
        person, caller = platform.new_person(), platform.new_person()
        await platform.shop.hold(person)
        if right == "access":
            await platform.shop.hold_call("", person.phone, SINCE, withheld=caller.phone)
        said = person.submission(right)
        said["subject"]["name"] = person.name
        values += [person.name, person.email, person.phone[1:], caller.phone[1:]]
        requests.append(await platform.channel.submit(said, traceparent=f"{person.email} {person.phone}"))
    submitted = platform.new_person()
    typo = f"typo{submitted.number}quarzfels.example"
    await platform.channel.refused({"right": "erasure", "subject": {"email": typo}})
    async with platform.emitter("selfcare") as selfcare:
        requests.append((await selfcare.asks(submitted, "portability")).request_id)
        await platform.bus.drained()
    for each in requests:
        await Case(platform.officer, each).closed()
    seeker = Seeker(
        {"people": [*values, submitted.email, submitted.phone[1:], typo], "requests": requests}, encoded=True
    )
    logs = [child.log for child in platform.services.children.values()]
    await asyncio.to_thread(seeker.in_files, *logs)
    for topic, content in await platform.bus.whole():
        await asyncio.to_thread(seeker.in_bytes, topic, content, b"\n")
    for service in platform.urls:
        seeker.in_bytes(f"metrics of {service}", "\n".join(await platform.metrics(service)).encode(), b"\n")
    assert all(log.stat().st_size for log in logs)
    assert not seeker.found.get("people"), seeker.found["people"]
    assert seeker.found["requests"].keys() >= {"dsr.requests", "dsr.status", "user.events.selfcare"}


@scenario()
async def test_package_is_fetched_five_times_and_not_while_its_proof_is_doubted(platform: Platform) -> None:
    """A package goes after its fifth download, and is withheld once an officer says that a proof was wrong."""
    fetched, doubted = platform.new_person(), platform.new_person()
    cases = []
    for person in (fetched, doubted):
        await platform.shop.hold(person)
        cases.append(await platform.ask(person, "access"))
    for case in cases:
        await case.closed()
    for _ in range(5):
        assert (await cases[0].package()).of("shop")
    link = await platform.channel.link(cases[1].request_id)
    await cases[1].seen_by(platform.officer).act("revoke-proof", identity="email")
    refused = [await platform.channel.status_of(case.request_id, "/package") for case in cases]
    assert refused == [httpx.codes.GONE, httpx.codes.CONFLICT]
    assert (await platform.channel.get(link)).status_code == httpx.codes.CONFLICT


@scenario()
async def test_erasure_is_traced_and_certified_and_its_key_destroyed(platform: Platform) -> None:
    """An erasure has one trace through all systems and a certificate; its key is gone, a code opens letters (Art. 17).

    ``dsr`` checks the certificate offline, and no change of it survives.
    """
    person, trace_id = platform.new_person(), secrets.token_hex(16)
    await platform.helpdesk.hold(person)
    traced = {"traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-01"}
    accepted = await platform.channel.accepted(person.submission("erasure"), **traced)
    case = Case(platform.channel, accepted["request_id"])
    await case.closed()
    wanted = {
        *(("dsr-intake", "submit"), ("dsr-intake", "handle"), ("dsr-deadline", "handle"), ("dsr-erasure", "handle")),
        *(("dsr-erasure", f"erase {name}") for name in platform.systems),
    }
    assert wanted <= await asyncio.to_thread(platform.collector.wait_for, wanted, trace_id, 240)
    letters = str(await case.seen_by(platform.officer).letters())
    assert ("••••" in letters, accepted["letter_code"] in letters) == (True, False)
    assert "key.shredded" in await case.seen_by(platform.officer).actions("key.shredded")
    assert await platform.officer.found(person.email) == []
    for code in ("", "00000000"):
        assert await platform.channel.letters_with(code, case.request_id) == []
    opened = await platform.channel.letters_with(accepted["letter_code"], case.request_id)
    assert opened == ["acknowledgement", "answer"]
    await case.seen_by(platform.officer).actions("request.closed")
    certified = await case.certificate()
    key = base64.b64encode(platform.services.public_key).decode()
    assert {each["action"] for each in certified["entries"]} >= {"request.received", "task.concluded", "request.closed"}
    assert person.email not in json.dumps(certified)

    async def verified(changed: object, *more: str) -> bool:
        with TemporaryDirectory() as folder:
            file = Path(folder) / "certificate.json"
            file.write_text(json.dumps(changed))
            return (await platform.dsr("certificate", "verify", str(file), *more))[0] == 0

    status, printed = await platform.dsr("evidence", "verify")
    assert status == 0, printed
    assert await verified(certified, "--key", key)
    assert not await verified(certified, "--key", base64.b64encode(bytes(32)).decode())
    last = certified["entries"][-1]
    for changed in (
        {**certified, "request": {**certified["request"], "outcome": "no_data"}},
        {**certified, "entries": certified["entries"][:-1]},
        {**certified, "entries": [*certified["entries"][:-1], {**last, "action": "request.received"}]},
    ):
        assert not await verified(changed)


LABELS = {
    *("service", "topic", "type", "result", "system", "operation", "le", "kind", "state"),
    *("right", "event", "outcome", "timeliness", "age", "days", "clock", "channel", "quantile"),
    *("extended", "reason", "flaw", "question", "in_time", "regime", "target", "loop", "problem", "what"),
    *("review", "answer", "category", "action", "way", "decision", "article", "lodged_with", "found_by"),
}
"""Labels with few values, known in advance."""


@scenario()
async def test_metrics_count_requests_without_personal_data(platform: Platform) -> None:
    """Each service is ready and counts its work; exact figures are for the privacy team, and no label is personal."""
    person = platform.new_person()
    before = await closed_count(platform)
    await (await platform.ask(person, "portability")).closed()
    assert await closed_count(platform) > before
    for service, url in platform.urls.items():
        exact = await platform.metrics(service)
        assert exact
        names = [name for name in exact if name.startswith("dsr_")]
        assert not [name for name in names if re.search(r"[0-9a-f]{8}-[0-9a-f]{4}|@|\+\d{7,}", name)]
        assert len(names) < 2_500
        assert set(re.findall(r'[{,]([a-z_]+)="', "".join(names))) <= LABELS
        async with httpx.AsyncClient(timeout=60) as anonymous:
            probes = [(await anonymous.get(url + path)).status_code for path in ("/healthz", "/readyz")]
            assert probes == [httpx.codes.OK] * 2
            for headers in ({}, {"Authorization": "Bearer guessed"}):
                answer = await anonymous.get(f"{url}/metrics/privacy", headers=headers)
                assert answer.status_code == httpx.codes.UNAUTHORIZED
    public = await platform.metrics("intake", "/metrics")
    counts = {name: value for name, value in public.items() if name.startswith(("dsr_request", "dsr_processor"))}
    people = [value for name, value in counts.items() if not re.search(r"quantile|_sum|_created", name)]
    assert people
    assert all(value % 5 == 0 for value in people)


async def closed_count(platform: Platform) -> float:
    figures = await platform.metrics("intake")
    return sum(
        value for name, value in figures.items() if name.startswith("dsr_requests_total") and "portability" in name
    )


@scenario(on=FRAGILE)
async def test_changed_policy_redates_what_is_open_once(platform: Platform) -> None:
    """After a change of the time limits ``dsr redate`` moves open deadlines, and the deadline service follows."""
    case = await platform.ask(platform.new_person(), "access", proved=False)
    before = date.fromisoformat((await case.until("awaiting_identity"))["due_on"])
    await case.did("deadline.computed")
    limits = (platform.services.directory / "time_limits.toml").read_text()
    async with declared(platform, "time_limits.toml", limits.replace("days = 30 ", "days = 20 ")):
        printed = [await platform.command("redate") for _ in range(2)]
    assert (printed[0] == printed[1], printed[1]) == (False, "open requests redated: 0\n")
    assert date.fromisoformat((await case.view())["due_on"]) == before - timedelta(days=10)
    await case.did("deadline.recomputed")
    await case.act("withdraw")
