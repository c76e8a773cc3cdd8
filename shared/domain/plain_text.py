"""The plain text of a letter, from its HTML: what a mail has for who reads no HTML, and what the API shows; pure."""

import re
from html.parser import HTMLParser

_PARAGRAPHS = frozenset({"p", "h1", "ul"})
_UNREAD = frozenset({"head", "style"})
_BLANK = re.compile(r"[ \t\r\n]+")


def text_of(html: str) -> str:
    """Each paragraph and each list between blank lines, each item after ``- ``; what people wrote, in its lines."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return "\n\n".join(reader.paragraphs) + "\n"


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.paragraphs: list[str] = []
        self._read: list[str] = []
        self._unread = 0
        self._as_written = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _UNREAD:
            self._unread += 1
        elif tag in _PARAGRAPHS:
            self._read = []
            self._as_written = ("class", "own") in attrs
        elif tag == "br":
            self._read.append("\n")
        elif tag == "li":
            self._read.append("\n- " if self._read else "- ")

    def handle_endtag(self, tag: str) -> None:
        if tag in _UNREAD:
            self._unread -= 1
        elif tag in _PARAGRAPHS and (text := "".join(self._read).strip()):
            self.paragraphs.append(text)
            self._read = []

    def handle_data(self, data: str) -> None:
        if not self._unread:
            self._read.append(data if self._as_written else _BLANK.sub(" ", data))
