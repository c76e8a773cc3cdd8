"""Prints in a real browser: the report of an access, and letters with the address in the window."""

import re
import struct
import zlib
from pathlib import Path

import pytest
from uuid_utils.compat import uuid7

from services.intake.delivery.manual import MARGIN, PrintedLetter, document
from services.letters import sample
from shared.domain.languages import LANGUAGES
from shared.domain.rights import Right
from tests.fixtures.browser import eyes
from tests.fixtures.chromium import look
from tests.fixtures.packages import made_of, unpacked
from tests.fixtures.reports import AT, LEGENDS, NEW, NOTE, OLD, call, task
from tests.fixtures.words import LETTERS, RENDERER

_WIDTH, _HEIGHT = 1000, 1400


@pytest.mark.parametrize("language", LANGUAGES)
async def test_it_is_drawn_and_printed(run_folder: Path, language: str) -> None:
    calls = [call(NEW if n % 2 else OLD, to=f"+4420794{n:05}") for n in range(150)]
    content = await made_of(
        [*calls, NOTE], Right.ACCESS, AT, legends=LEGENDS, country="DE", language=language, reports=(task("cdr"),)
    )
    folder = run_folder / f"report-{language}"
    folder.mkdir()
    page, shot, paper = folder / "report.html", folder / "report.png", folder / "report.pdf"
    page.write_bytes(unpacked(content)["report.html"])
    look(page, f"--window-size={_WIDTH},{_HEIGHT}", f"--screenshot={shot}")
    look(page, "--no-pdf-header-footer", f"--print-to-pdf={paper}")
    assert inked(shot) > 0.01, "something is drawn on it"
    assert len(re.findall(rb"/Type\s*/Page\b", paper.read_bytes())) >= 3


_MEASURED = """() => [...document.querySelectorAll('.sheet')].map(sheet => {
    const from = sheet.getBoundingClientRect()
    const box = each => { const r = each.getBoundingClientRect()
                          return [r.left - from.left, r.top - from.top, r.right - from.left, r.bottom - from.top] }
    const words = document.createRange(); words.selectNodeContents(sheet.querySelector('.to'))
    const part = name => box(sheet.querySelector(name))
    return {window: part('.window'), lines: part('.return'), address: box(words), text: part('main')}
})"""


async def test_the_address_stands_in_the_window_of_the_envelope_on_every_sheet(run_folder: Path) -> None:
    longest = ("Donaudampfschifffahrtsgesellschaft", "Abteilung für Auskünfte", "Ada Quarzfels", "Musterstraße 123 B")
    written = [RENDERER.render(sample(LETTERS, "answer_fulfilled", each)).html for each in ("de", "fr")]
    addresses = (["Ada Quarzfels", "50667 Köln"], [*longest, "50667 Köln", "Deutschland"])
    letters = [PrintedLetter(uuid7(), html, lines) for html, lines in zip(written, addresses, strict=True)]
    (run_folder / "post").mkdir()
    async with eyes("post", run_folder / "post") as looking:
        person = await looking.person()
        await person.emulate_media(media="print")
        await person.set_viewport_size({"width": round((210 - 2 * MARGIN) * 96 / 25.4), "height": 1123})
        await person.set_content(document(letters, ("Example AG", "Musterweg 2", "50667 Köln")))
        measured = await person.evaluate(_MEASURED)
        sheets = [{name: [MARGIN + px * 25.4 / 96 for px in box] for name, box in each.items()} for each in measured]
    for sheet in sheets:
        assert sheet["window"] == pytest.approx([20, 45, 105, 90], abs=0.3), "DIN 5008, form B, in millimetres"
        left, top, right, bottom = sheet["address"]
        assert (left >= 20, top >= 62.6, right <= 105, bottom <= 90.3) == (True,) * 4, f"the address stands at {sheet}"
        assert sheet["lines"][3] <= 62.8
        assert sheet["text"][1] >= 90, "no text stands in the window"
    assert len(sheets) == 2


def inked(shot: Path) -> float:
    """Returns the share of a picture (PNG, 8 bits, RGB or RGBA) that is not white."""
    content = shot.read_bytes()
    width, height, depth, colours = struct.unpack(">IIBB", content[16:26])
    assert (width, height, depth) == (_WIDTH, _HEIGHT, 8)
    packed, at = b"", 8
    while at < len(content):
        (size,) = struct.unpack(">I", content[at : at + 4])
        packed += content[at + 8 : at + 8 + size] if content[at + 4 : at + 8] == b"IDAT" else b""
        at += size + 12
    channels = {2: 3, 6: 4}[colours]
    line = width * channels + 1
    raw = zlib.decompress(packed)
    # A line that differs from the one above by nothing at all has only zeros: those are its filtered bytes.
    return sum(byte != 0 for start in range(0, len(raw), line) for byte in raw[start + 1 : start + line]) / len(raw)
