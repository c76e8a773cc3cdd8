"""The text of foreign HTML, as a person reads it; pure. Nothing of it is ever shown as HTML."""

from html.parser import HTMLParser

_UNREAD = frozenset({"head", "style", "script", "title", "template"})
_BREAKS = frozenset({"br", "p", "div", "li", "tr", "h1", "h2", "h3", "h4", "blockquote"})


def plain(html: str) -> str:
    """Its words, a line for each paragraph."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    lines = (" ".join(line.split()) for line in "".join(reader.read).splitlines())
    return "\n".join(line for line in lines if line)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.read: list[str] = []
        self._unread = 0

    def handle_starttag(self, tag: str, _attrs: list[tuple[str, str | None]]) -> None:
        if tag in _UNREAD:
            self._unread += 1
        elif tag == "body" or tag in _BREAKS:  # what begins a head need not say where it ends
            self._unread = 0
            self.read.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in _UNREAD:
            self._unread = max(0, self._unread - 1)
        elif tag in _BREAKS:
            self.read.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._unread:
            self.read.append(" ".join(data.split("\n")))
