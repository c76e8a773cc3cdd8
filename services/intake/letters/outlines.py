"""What is the same in all letters of a kind to readers of one sort, rendered once; the rest is put in for each letter.

A template may show a field, ask whether there is anything in it, or decide by what it is. What it only shows is left
open; of what it asks whether it is there, both ways are kept apart; what decides must be the same, or it is another
outline. Plurals follow numbers, so these decide as well.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from jinja2 import Template, nodes
from jinja2.meta import find_referenced_templates
from markupsafe import Markup, escape

_MOST: Final = 2_000
"""Outlines at a time, of a few kB each."""
_OPEN, _END = "\ue000", "\ue001"
_HOLE = re.compile(f"{_OPEN}([a-z_]+){_END}")

Use = Literal["shown", "asked", "decides"]
Render = Callable[[Mapping[str, str], Mapping[str, object]], str]
"""Renders a letter with the fields as words may show them, and as the template gets them."""


class _OpenLines:
    """Lines that are left open."""

    def __init__(self, name: str) -> None:
        self.hole = Markup(f"{_OPEN}{name}{_END}")  # noqa: S704  # a name of ours


def as_list(lines: Iterable[str] | _OpenLines) -> Markup:
    """Lines as a list of HTML; nothing, where there are none."""
    if isinstance(lines, _OpenLines):
        return lines.hole
    items = "".join([f"<li>{escape(line)}</li>" for line in lines])
    return Markup(f"<ul>{items}</ul>" if items else "")  # noqa: S704  # each line is escaped


@dataclass(slots=True)
class Outlines:
    """The outlines of the letters of one kind; ``uses``: what its template does with each name."""

    uses: Mapping[str, frozenset[Use]]
    _known: dict[tuple[object, ...], Sequence[str]] = field(default_factory=dict, init=False)

    def fill(
        self,
        same: tuple[object, ...],
        shown: Mapping[str, str],
        lines: Mapping[str, Sequence[str]],
        numbers: Mapping[str, int],
        render: Render,
    ) -> str:
        """A letter with these fields; ``same``: by what else its outline is known.

        Raises:
            KeyError: a field of its words is not given
            TemplateError: one of its template is not given
        """
        if any("decides" in self.uses.get(name, ()) for name in lines):
            return render(shown, {**shown, **lines})
        key = (*same, *self._known_by(shown, numbers), *((name, bool(each)) for name, each in lines.items()))
        outline = self._known.get(key)
        if outline is None:
            if len(self._known) >= _MOST:
                self._known.clear()
            open_words = {name: self._left_open(name, value, numbers) for name, value in shown.items()}
            if any(_OPEN in value and value is shown[name] for name, value in open_words.items()):
                return render(shown, {**shown, **lines})
            open_lines = {name: _OpenLines(name) if each else () for name, each in lines.items()}
            outline = self._known[key] = _HOLE.split(render(open_words, {**open_words, **open_lines}))
        parts = list(outline)
        for place in range(1, len(parts), 2):
            name = parts[place]
            parts[place] = escape(shown[name]) if name in shown else as_list(lines[name])
        return "".join(parts)

    def _known_by(self, shown: Mapping[str, str], numbers: Mapping[str, int]) -> Iterator[object]:
        for name, value in shown.items():
            uses = self.uses.get(name, ())
            if "decides" in uses or name in numbers:
                yield name, value
            else:
                yield (name, bool(value)) if "asked" in uses else name

    def _left_open(self, name: str, value: str, numbers: Mapping[str, int]) -> str:
        uses = self.uses.get(name, ())
        same = "decides" in uses or name in numbers or ("asked" in uses and not value)
        return value if same else f"{_OPEN}{name}{_END}"


def outlines_of(template: Template) -> Outlines:
    """Those of a template, by what it and all that it rests on do with each name."""
    environment, loader = template.environment, template.environment.loader
    uses: dict[str, set[Use]] = {}
    waiting, read = [template.name], set[str]()
    while waiting:
        name = waiting.pop()
        if name is None or name in read or loader is None:
            continue
        read.add(name)
        tree = environment.parse(loader.get_source(environment, name)[0])
        waiting += find_referenced_templates(tree)
        for used, use in _uses(tree):
            uses.setdefault(used, set()).add(use)
    return Outlines({name: frozenset(each) for name, each in uses.items()})


def _uses(node: nodes.Node) -> Iterator[tuple[str, Use]]:
    match node:
        case nodes.Name():
            yield node.name, "decides"
        case nodes.Output():
            for shown in node.nodes:
                if (name := _shown(shown)) is not None:
                    yield name, "shown"
                else:
                    yield from _uses(shown)
        case nodes.If():
            yield from _asked(node.test)
            for part in (*node.body, *node.elif_, *node.else_):
                yield from _uses(part)
        case _:
            for each in node.iter_child_nodes():
                yield from _uses(each)


def _shown(node: nodes.Node) -> str | None:
    """The name that is shown as it is, or as lines."""
    match node:
        case nodes.Name(name=name):
            return str(name)
        case nodes.Call(node=nodes.Name(name="lines"), args=[nodes.Name(name=name)], kwargs=[]):
            return str(name)
        case _:
            return None


def _asked(node: nodes.Node) -> Iterator[tuple[str, Use]]:
    match node:
        case nodes.Name(name=name):
            yield name, "asked"
        case nodes.And() | nodes.Or():
            yield from _asked(node.left)
            yield from _asked(node.right)
        case nodes.Not():
            yield from _asked(node.node)
        case _:
            yield from _uses(node)
