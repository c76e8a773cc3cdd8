"""Makes text of parts of a mail, by libraries: its characters, what of HTML is visible, what is quoted, its language.

Runs in the process that reads one mail alone.
"""

import re
from dataclasses import dataclass
from typing import Final

import gcld3
from charset_normalizer import from_bytes
from mailparser_reply import EmailReplyParser
from mailparser_reply.constants import MAIL_LANGUAGES
from selectolax.lexbor import LexborHTMLParser, LexborNode

from shared.domain.mail_content import NOT_VISIBLE

_SAMPLE, _HTML, _WESTERN = 2**16, 200_000, "cp1252"
_UNREAD: Final = frozenset({"head", "style", "script", "title", "template", "noscript"})
_INLINE: Final = re.compile("a|abbr|b|big|code|em|font|i|label|mark|small|span|strike|strong|su[bp]|[stu]|tt")
_WORD: Final = re.compile(r"[^\W\d_]+")
_HIDDEN: Final = re.compile(
    r"display:none|visibility:(?:hidden|collapse)|mso-hide|opacity:0*(?:\.0*)?(?![.\d])|(?:left|top|text-indent):-\d{3}"
    r"|(?<![\w-])(?:font-size|(?:max-)?height):(?:0+(?:\.0+)?(?![.\d])|1(?:\.0+)?p[xt])"
    r"|(?<![\w-])color:(?:transparent|white|#f[c-f]f[c-f]f[c-f]|#fff(?![0-9a-f])|rgba?\(255,255,255|rgba\([^)]*,0?\.?0*\))"
)
"""Declarations that hide text, without white space."""
_COLOUR: Final = re.compile(r"(?<![\w-])(color|background)(?:-color)?:([^;}]+)")
_BLANK: Final = re.compile(r"\s+")
_BLANK_LINES: Final = re.compile(r"\n\s*\n")
_QUOTED, _NOT_SEEN = re.compile(r"^>.*$", re.MULTILINE), re.compile(r"^\[not visible\] .*$", re.MULTILINE)
_LONGEST, _FEW = 8_000, 30
"""Characters among which the writer's own are looked for, and that are too few to know a language by."""


def decoded(data: bytes, charset: str | None) -> str:
    """Decodes text: as declared, else as UTF-8, else by detection with preference for Western Europe."""
    for each in filter(None, (charset, "utf-8")):
        try:
            return data.decode(each)
        except (LookupError, ValueError):
            continue
    likely = from_bytes(data[:_SAMPLE])
    western = any(_WESTERN in each.could_be_from_charset for each in likely)
    best = None if western else likely.best()
    return data.decode(best.encoding if best else _WESTERN, "replace")


@dataclass(frozen=True, slots=True)
class ReadablePage:
    """The text of HTML, quotes and what is not visible marked as such.

    ``hides``: there is text that is not visible; ``sure``: no style sheet hides any more.
    """

    text: str
    hides: bool
    sure: bool


def page(html: str) -> ReadablePage:
    """Reads HTML as browsers do (HTML 5), so that a tag that is not closed hides and shows what it does there."""
    tree = LexborHTMLParser(html[:_HTML])
    sure = not any(_hides(each.text()) for each in tree.css("style"))
    lines, last, above = [""], _Place(), dict[int, _Place]()
    for node in tree.root.traverse(include_text=True) if tree.root else ():
        tag, place = str(node.tag), above.get(node.parent.mem_id, _Place()) if node.parent else _Place()
        if tag == "br":
            lines.append("")
        elif tag != "-text":
            above[node.mem_id] = _Place(
                place.unread or tag in _UNREAD,
                place.hidden or _is_hidden(node),
                place.quoted or tag == "blockquote",
                place.block if _INLINE.fullmatch(tag) else node.mem_id,
            )
        elif not place.unread and (text := _BLANK.sub(" ", node.text_content or "")).strip():
            if place != last or not lines[-1]:
                lines.append(NOT_VISIBLE if place.hidden else "> " if place.quoted else "")
            last = place
            lines[-1] += text
    shown_lines = [line for line in (each.strip() for each in lines) if line]
    return ReadablePage("\n".join(shown_lines), any(each.startswith(NOT_VISIBLE) for each in shown_lines), sure)


@dataclass(frozen=True, slots=True)
class _Place:
    """Style of the text in a node; ``block``: its paragraph."""

    unread: bool = False
    hidden: bool = False
    quoted: bool = False
    block: int = 0


def _is_hidden(node: LexborNode) -> bool:
    attributes = node.attributes
    color = attributes.get("color") or ""
    return "hidden" in attributes or _hides(attributes.get("style") or "") or _hides(f"color:{color}")


def _hides(css: str) -> bool:
    compact = "".join(css.lower().split())
    if _HIDDEN.search(compact):
        return True
    colors = _COLOUR.findall(compact)
    return any(name == "color" and ("background", value) in colors for name, value in colors)


def own(text: str) -> tuple[str, str]:
    """Splits text into the writer's words and quoted words."""
    seen = _BLANK_LINES.sub("\n\n", _NOT_SEEN.sub("", text))[:_LONGEST]
    first, *others = EmailReplyParser(languages=[*MAIL_LANGUAGES]).read(seen).replies
    reply, quoted = ("", [first.content]) if first.headers else (first.content, [])
    quoted += [*_QUOTED.findall(reply), *(each.content for each in others)]
    return _QUOTED.sub("", reply).strip(), "\n".join(quoted)


def language(text: str) -> str | None:
    """Detects the language (ISO 639); None if uncertain, such as for a few words."""
    words = " ".join(_WORD.findall(text))
    found = gcld3.NNetLanguageIdentifier(0, _SAMPLE).FindLanguage(text=words)
    return found.language.partition("-")[0] if found.is_reliable and len(words) >= _FEW else None
