"""On which line of a TOML file each key stands, which the parser of the standard library does not tell."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

Place = tuple[str | int, ...]

_HEADER = re.compile(r"\s*(\[\[?)\s*(?P<path>[^\]]+?)\s*\]")
_PAIR = re.compile(r"""\s*(?P<path>(?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")
_NAME = re.compile(r"""[\w-]+|"[^"]*"|'[^']*'""")


def lines_of(text: str) -> Mapping[Place, int]:
    """The line, from 1, of every table and key that begins a line; a table of an array has its number in its path."""
    lines: dict[Place, int] = {}
    seen: Counter[Place] = Counter()
    table: Place = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            table = tuple(_anchored(_names(header["path"]), seen))
            if header[1] == "[[":
                seen[table] += 1
                table = (*table, seen[table] - 1)
            lines.setdefault(table, number)
        elif pair := _PAIR.match(line):
            lines.setdefault((*table, *_names(pair["path"])), number)
    return lines


def line_of(lines: Mapping[Place, int], place: Sequence[str | int]) -> int | None:
    """The line of a key, or of the nearest table around it that begins a line; None where there is none."""
    for length in range(len(place), 0, -1):
        if found := lines.get(tuple(place[:length])):
            return found
    return None


def _names(path: str) -> list[str]:
    return [name.strip("\"'") for name in _NAME.findall(path)]


def _anchored(names: Sequence[str], seen: Mapping[Place, int]) -> Iterator[str | int]:
    """The names, with the number of the array's last table after each that is one."""
    path: list[str | int] = []
    for position, name in enumerate(names):
        path.append(name)
        yield name
        if position < len(names) - 1 and (count := seen.get(tuple(path))):
            path.append(count - 1)
            yield count - 1
