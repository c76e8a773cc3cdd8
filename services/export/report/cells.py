"""What a record holds, as a person reads it: times and numbers as their language writes them, codes in words; pure.

The files of the package have the values as systems gave them.
"""

import re
from datetime import date, datetime
from typing import Final

import orjson
from pydantic import JsonValue

from services.export.report.texts import Texts
from services.export.report.wording import Wording

_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d")
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)")
"""A moment that says its zone (RFC 3339); one that does not stands as it is, since nobody knows when it was."""
_COUNTRY: Final = re.compile(r"[A-Z]{2}")
_ENCODED: Final = "content_base64"


class Cells:
    """Values in one language."""

    def __init__(self, texts: Texts, say: Wording) -> None:
        self._texts, self._say = texts, say

    def shown(self, column: str, value: JsonValue) -> str:
        """A value of a column that is called so."""
        match value:
            case None:
                return ""
            case bool():
                return self._texts.page["yes" if value else "no"]
            case float():
                return self._say.number(value) if value % 1 else str(int(value))
            case str():
                return self._text(column, value)
            case list() if not any(isinstance(each, dict | list) for each in value):
                return ", ".join(self.shown(column, each) for each in value)
            case _:
                return orjson.dumps(value).decode()

    def _text(self, column: str, text: str) -> str:
        if column == _ENCODED:
            return self._texts.page["encoded"]
        if (words := self._texts.values.get(column, {}).get(text)) is not None:
            return words
        if column == "country" and _COUNTRY.fullmatch(text):
            return self._say.country(text)
        return self._when(text)

    def _when(self, text: str) -> str:
        try:
            if _MOMENT.fullmatch(text):
                return self._say.short(datetime.fromisoformat(text))
            return self._say.short(date.fromisoformat(text)) if _DAY.fullmatch(text) else text
        except (ValueError, OverflowError):
            return text
