"""A document to print: letter after letter, each with its address where the window of the envelope is; pure.

DIN 5008, form B: the address field begins 20 mm from the left edge and 45 mm from the top, is 85 mm wide and 45 mm
high; 17.7 mm of it are for the line of the sender, 27.3 mm for six lines of address.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from markupsafe import Markup

MARGIN, LEFT, TOP, WIDTH, HEIGHT, NOTES, TEXT_FROM = 20.0, 20.0, 45.0, 85.0, 45.0, 17.7, 98.0
"""Millimetres, on a sheet of A4; the text begins below the mark for the second fold."""
LINES = 6
_BODY = re.compile(r"<body>(.*)</body>", re.DOTALL)
_STYLE = f"""
@page{{size:A4;margin:{MARGIN}mm}}
body{{font:11pt/1.45 sans-serif;color:#000;background:#fff;margin:0}}
.sheet{{position:relative;break-after:page;padding-top:{TEXT_FROM - MARGIN}mm}}
.sheet>header p:first-child{{display:none}}
.window{{position:absolute;left:{LEFT - MARGIN}mm;top:{TOP - MARGIN}mm;width:{WIDTH}mm;height:{HEIGHT}mm}}
.return{{height:{NOTES}mm;display:flex;align-items:flex-end;font-size:8pt;line-height:1.2}}
.to{{margin:0;height:{HEIGHT - NOTES}mm;font-size:10pt;line-height:{(HEIGHT - NOTES) / LINES:.2f}mm;font-style:normal}}
h1{{font-size:1.1em}}ul{{padding-left:1.2em}}.own{{white-space:pre-line}}
footer{{font-size:.9em;border-top:1px solid #000}}
"""
"""Every length is absolute: what the printer must not do is to scale, which the page says on the screen."""


@dataclass(frozen=True, slots=True)
class Page:
    """A letter that is to be posted, and the lines of its address."""

    letter_id: UUID
    html: str
    address: Sequence[str]


def document(pages: Iterable[Page], sender: Sequence[str]) -> str:
    """The letters as one document, a sheet or more each; ``sender``: the lines above the address, made one."""
    back = " · ".join(sender)
    sheets = Markup("\n").join(_sheet(page, back) for page in pages)
    head = Markup('<!doctype html>\n<html><head><meta charset="utf-8"><title>{}</title><style>{}</style></head>')
    shown = head.format("Letters to print at 100 %", Markup(_STYLE))  # noqa: S704  # ours
    return f"{shown}\n<body>\n{sheets}\n</body></html>\n"


def _sheet(page: Page, back: str) -> Markup:
    found = _BODY.search(page.html)
    words = Markup(found[1] if found else "")  # noqa: S704  # written by our own template, which escapes
    lines = Markup("<br>").join(page.address)
    sheet = '<section class="sheet" id="{}">\n<div class="window"><div class="return">{}</div><address class="to">{}'
    return Markup(sheet + "</address></div>\n{}</section>").format(page.letter_id, back, lines, words)  # noqa: S704
