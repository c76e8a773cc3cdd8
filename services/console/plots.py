"""Draws plots as SVG with classes instead of styles, as a strict CSP requires.

Colours come from the stylesheet, so they follow dark and forced colours. Each plot has a title and a table next to it.
"""

from collections.abc import Sequence
from datetime import date
from typing import Final

from markupsafe import Markup, escape

_WIDTH: Final = 720
_LEFT: Final = 190
_ROW: Final = 30
_HEIGHT: Final = 220
_ROOM: Final = 60
"""At the end of the longest bar, for its figure."""

Bar = tuple[str, Sequence[float], str]
"""Its name, the length of each part, and the figure that stands at its end."""


def bars(title: str, rows: Sequence[Bar], band: tuple[float, float] | None = None) -> Markup:
    """Horizontal bars, each of parts one after the other; ``band``: from where to where a promise lies."""
    longest = max([sum(parts) for _, parts, _ in rows] + [band[1] if band else 0, 1e-9])
    scale = (_WIDTH - _LEFT - _ROOM) / longest
    height = _ROW * len(rows) + 8
    drawn = []
    if band:
        width = max((band[1] - band[0]) * scale, 2)
        drawn.append(_rect("band", _LEFT + band[0] * scale, 0, width, height))
    for number, (name, parts, figure) in enumerate(rows):
        top, x = _ROW * number + 8, float(_LEFT)
        drawn.append(_text(_LEFT - 10, top + 15, name, "end"))
        for part, value in enumerate(parts):
            if value > 0:
                drawn.append(_rect(f"part-{part}", x, top, value * scale, _ROW - 10))
            x += value * scale
        drawn.append(_text(x + 8, top + 15, figure, "start"))
    return _svg(title, height, drawn)


def line(title: str, points: Sequence[tuple[date, float]]) -> Markup:
    """A line over days, from nothing up; its first, highest and last figure are written."""
    highest = max([value for _, value in points] + [1e-9])
    left, top, bottom = 60, 24, _HEIGHT - 30
    step = (_WIDTH - left - _ROOM) / max(len(points) - 1, 1)

    def y(value: float) -> float:
        return bottom - value / highest * (bottom - top)

    places = [(left + step * number, y(value)) for number, (_, value) in enumerate(points)]
    path = " ".join(f"{x:.1f},{at:.1f}" for x, at in places)
    drawn = [
        Markup('<line class="axis" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(left, bottom, _WIDTH - _ROOM, bottom),
        Markup('<polyline class="line" points="{}"/>').format(path),
        _text(left - 8, y(highest) + 5, f"{highest:.0f}", "end"),
        _text(left - 8, bottom + 5, "0", "end"),
        _text(places[-1][0] + 8, places[-1][1] + 5, f"{points[-1][1]:.0f}", "start"),
        _text(left, _HEIGHT - 6, points[0][0].isoformat(), "start"),
        _text(_WIDTH - _ROOM, _HEIGHT - 6, points[-1][0].isoformat(), "end"),
    ]
    return _svg(title, _HEIGHT, drawn)


def _svg(title: str, height: int, drawn: Sequence[Markup]) -> Markup:
    shape = Markup('<svg class="plot" role="img" aria-label="{}" viewBox="0 0 {} {}" width="{}" height="{}">{}</svg>')
    return shape.format(title, _WIDTH, height, _WIDTH, height, Markup("").join(drawn))


def _rect(kind: str, x: float, y: float, width: float, height: float) -> Markup:
    numbers = [f"{each:.1f}" for each in (x, y, width, height)]
    return Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>').format(kind, *numbers)


def _text(x: float, y: float, said: str, anchor: str) -> Markup:
    return Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>').format(f"{x:.1f}", f"{y:.1f}", anchor, escape(said))
