"""What a store holds in a column, as it is written into a package."""

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from pydantic import JsonValue

from shared.downstreams.sql.declaration.columns import Column
from shared.downstreams.sql.declaration.tables import Table


def readable(value: Any, column: Column, table: Table) -> JsonValue:
    """A value as it is shown: times with their zone, codes in words."""
    shown: JsonValue
    if value is None or (type(value) is str and not column.codes):  # most values are, and need no look at the rest
        return value
    match value:
        case datetime():
            shown = (value if value.tzinfo else value.replace(tzinfo=table.timezone)).isoformat()
        case date() | time():
            shown = value.isoformat()
        case timedelta():
            shown = value.total_seconds()
        case Decimal():
            shown = float(value)
        case str() | int():
            shown = column.codes.get(str(value), value)
        case float():
            shown = value
        case list():
            shown = [readable(item, column, table) for item in value]
        case _:
            shown = str(value)
    return shown
