"""Pages of the console on breaches, promises and who did what."""

import io
import re
import zipfile
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson

from shared.domain import reference as references
from shared.domain.operations import Operation
from shared.domain.policy import read_policy
from shared.storage import certificate
from tests.fixtures.console import OpenedConsole
from tests.fixtures.handed_out import GIVEN
from tests.fixtures.intake import id_of
from tests.fixtures.portal import Visitor
from tests.integration.test_breach_record import RECORD

WORDS = {"happened": "A list was public.", "consequences": "Calls.", "measures": "It is gone."}


async def step(visitor: Visitor, path: str, **form: str) -> Visitor:
    """Opens the page of a step, fills it in, and confirms."""
    await visitor.open(path)
    assert visitor.status == 200, visitor.text
    assert "<form" in visitor.html, visitor.text
    if form:
        await visitor.send(step="check", **form)
        assert "Confirm:" in visitor.text, visitor.text
    return await visitor.send(step="confirm", **form)


async def test_a_breach_is_entered_documented_told_of_and_closed_by_persons_who_have_signed_in(
    console: OpenedConsole,
) -> None:
    intake, hanna, anton = console.intake, await console.member("hanna"), await console.member("anton")
    german = await intake.submit(language="de")
    record: dict[str, str] = {"facts": "Ada's list was public.", "effects": "Calls.", "measures": "It is gone."}
    record |= {"people": "40", "records": "1200", "nature": "confidentiality", "categories": "call_record"}
    await step(hanna, "/console/breaches/new", found_at="2026-03-02 04:00", **record)
    path = hanna.path
    assert "68 of the 72 hours" in hanna.text or "72 hours" in hanna.text
    await step(hanna, f"{path}/own")
    assert "hanna" in hanna.text
    assert "2026-03-02 04:00 EST" in hanna.text, "and in which zone that is"
    await hanna.open(f"{path}/record")
    assert "list was public" in hanna.text, "what was stated stands in the form"
    await step(hanna, f"{path}/awareness", found_at="2026-03-02 03:30", reasons="Anton saw it before.")
    assert "Anton saw it before." in hanna.text
    notice = {"whom": "authority", "to": "BlnBDI 521.12", "told_at": "2026-03-02 04:00", "phase": "complete"}
    await step(hanna, f"{path}/notice", what="By its form.", **notice)
    assert "Done: Note who was told" in hanna.text
    letter = {f"words.de.{name}": text for name, text in WORDS.items()}
    said = {"high_risk": "yes", "reasons": "Whom she calls is known.", "concerned": id_of(german), **letter}
    await step(hanna, f"{path}/assess", **said)
    assert (await hanna.open(f"{path}/approve")).status == 403
    await anton.open(f"{path}/approve")
    assert "Whom she calls is known." in anton.text, "who agrees reads it first"
    await anton.send(step="confirm")
    assert references.of(UUID(id_of(german))) in anton.text
    assert [each["kind"] for each in await intake.letters(german)] == ["breach_notice"]
    await step(hanna, f"{path}/close", decision="authority_notified", explanation="All are told.")
    assert "All are told." in hanna.text
    ugo = await console.member("ugo")
    assert "found elsewhere" in (await ugo.open("/console/breaches")).text
    assert (await ugo.open(path)).status == 403, "an auditor reads no words about people"


async def test_the_clock_of_a_breach_is_told_in_full_hours_and_its_day_as_it_is_in_the_zone_of_the_controller(
    console: OpenedConsole,
) -> None:
    intake = console.intake
    intake.clock.pass_by(hours=17)  # the next day there
    found = {"found_at": intake.clock.now().isoformat(), **RECORD}
    breach_id = (await intake.officer.post("/v1/breaches", json=found)).json()["breach_id"]
    at = f"{intake.clock.now().astimezone(ZoneInfo(read_policy().controller.zone)):%Y-%m-%d %H:%M}"
    hanna = await console.member("hanna")
    assert f"Breach found {at}" in (await hanna.open(f"/console/breaches/{breach_id}/own")).text
    intake.clock.pass_by(hours=72, minutes=5)
    hanna = await console.member("hanna")
    assert "< 1 h late" in (await hanna.open("/console/breaches")).text


async def test_an_auditor_takes_the_file_of_a_case_without_the_words_of_letters(
    console: OpenedConsole,
) -> None:
    intake, ugo = console.intake, await console.member("ugo")
    path = await intake.submit()
    await intake.complete(path, operation=Operation.EXPORT, tasks=(GIVEN,))
    await intake.officer.get(f"{path}/letters")
    elsewhere = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    count = "SELECT count(*) FROM evidence.entry WHERE action = 'case.exported'"
    before = await intake.unit_of_work.pool.fetchval(count)
    export = f"/console/requests/{id_of(path)}/case-file"
    assert (await ugo.client.get(export, headers=elsewhere)).status_code == 403
    assert await intake.unit_of_work.pool.fetchval(count) == before, "a link of another site makes nobody export"
    assert "Case file" in (await ugo.open(f"/console/requests/{id_of(path)}")).text
    answer = await ugo.client.get(f"/console/requests/{id_of(path)}/case-file")
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert certificate.verify(orjson.loads(archive.read("certificate.json"))) == []
    assert not [name for name in archive.namelist() if name.startswith("letters/")]
    assert "ada@example.org" not in "".join(archive.read(name).decode() for name in archive.namelist())
    hanna = await console.member("hanna")
    assert (await hanna.client.get(f"/console/requests/{id_of(path)}/case-file")).status_code == 403
    [exported] = await intake.details(path, "case.exported")
    assert (exported["holder"], exported["letters"]) == ("ugo", 0)


async def test_promises_are_shown_as_plots_without_styles_or_scripts_above_their_folded_tables(
    console: OpenedConsole,
) -> None:
    intake = console.intake
    await intake.submit()
    done = await intake.submit(right="erasure")
    intake.clock.pass_by(days=1)
    await intake.complete(done, operation=Operation.ERASE, tasks=(GIVEN.model_copy(update={"operation": "erase"}),))
    ugo = await console.member("ugo")
    text = (await ugo.open("/console/sla")).html
    assert "names 5 to 7" in text
    plots = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(plots) == 5
    assert [len(re.findall(each, text)) for each in ("<table", "<details")] == [5, 5], "each table is folded"
    assert not re.search(r"style=|<style|<script|href=", "".join(plots))
    assert all('role="img" aria-label="' in each for each in plots)
    assert re.search(r'<th scope="row">erasure</th><td class="number">1\.0', text)
    assert "all that is open is closed in 30 days" in text
    await intake.submit()
    assert (await ugo.open("/console/sla")).html.count("<svg") == 5
    intake.clock.pass_by(minutes=2)
    assert "closed in 60 days" in (await ugo.open("/console/sla")).text, "counted anew"
