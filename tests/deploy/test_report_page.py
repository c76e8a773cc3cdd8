"""The report of an access in a real browser: it is drawn without a network, and printed on pages."""

import re
import struct
import zlib
from pathlib import Path

import pytest

from services.export.report.texts import LANGUAGES
from shared.domain.rights import Right
from tests.fixtures.chromium import look
from tests.fixtures.packages import made_of, unpacked
from tests.unit.test_report import AT, LEGENDS, NEW, NOTE, OLD, call, task

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


def inked(shot: Path) -> float:
    """Which share of a picture (PNG, 8 bits, RGB or RGBA) is not white."""
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
