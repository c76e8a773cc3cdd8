"""What of a customer can be corrected (Art. 16), and how: name, e-mail, phone and the lines of an address; pure.

A contact is no assignment: whose a number is stands in a model of its own, which no correction touches.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from shared.domain.errors import Refused
from shared.domain.identities import IdentityType
from shared.domain.operations import Change
from shared.domain.text import nfc
from shared.systems.engine.records import Field
from shared.systems.tryton.customer import ADDRESS, CONTACT, STREET_PARTS, Customer, Row, lines, spelled, type_of

_CONTACTS: Final = {"email": IdentityType.EMAIL, "phone": IdentityType.PHONE}
_LINES: Final = ("street", "postal_code", "city")
_FIELDS: Final = ("name", *_CONTACTS, *(f"address.{line}" for line in _LINES))
_ROWS_OF_PARTY: Final = {CONTACT: "contact_mechanisms", ADDRESS: "addresses"}


def _same(name: str) -> Callable[[str, str], bool]:
    if kind := _CONTACTS.get(name):
        return lambda one, other: spelled(kind, one) == spelled(kind, other)
    return lambda one, other: nfc(one).split() == nfc(other).split()


_SAME: Final = {name: _same(name) for name in _FIELDS}
FIELDS: Final = tuple(Field(each, each, str, shown=False, rectifies=each, same=_SAME[each]) for each in _FIELDS)
"""What a correction changes of a party: no part of a copy, which shows the rows themselves."""


def correctable(customer: Customer, asked: Sequence[Change]) -> dict[str, str | None]:
    """By field what a customer shows of it, None where nothing does; of several rows the one that is meant.

    Raises:
        Refused: nobody can tell which of several is wrong.
    """
    return {name: _shown(row, name) for name, row in _meant(customer, asked).items()}


def written(customer: Customer, values: Mapping[str, str | None], asked: Sequence[Change]) -> dict[str, Any]:
    """What is written into the party, with its rows, so that it shows these values; all of it or nothing.

    Raises:
        Refused: the CRM lets nobody change it.
    """
    said: dict[str, Any] = {}
    rows: dict[str, list[Any]] = {CONTACT: [], ADDRESS: []}
    lines_written: dict[str, str | None] = {}
    meant = _meant(customer, asked) if values.keys() - {"name"} else {}
    for name, value in values.items():
        row = meant.get(name)
        if name == "name":
            said[name] = value
        elif name not in _CONTACTS:
            lines_written |= _line(name.removeprefix("address."), value)
        elif row and name == "phone":
            rows[CONTACT].append(["write", [row["id"]], {"value": value}])
        else:
            # What stands elsewhere under a former e-mail address is theirs, and must be found.
            rows[CONTACT] += [["write", [row["id"]], {"active": False}]] if row else []
            rows[CONTACT].append(["create", [{"type": name, "value": value}]])
    if lines_written:
        row = meant["address.street"]
        rows[ADDRESS].append(["write", [row["id"]], lines_written] if row else ["create", [lines_written]])
    said |= {_ROWS_OF_PARTY[model]: of_model for model, of_model in rows.items() if of_model}
    if any(said.values()) and not customer.party["active"]:
        raise Refused("the CRM locks closed accounts: reopen it, or correct it by hand")
    return said


def _meant(customer: Customer, asked: Sequence[Change]) -> dict[str, Row | None]:
    """The row that a correction of each field is about."""
    own = {m: [r for r in rows if r["party"] == customer.party["id"]] for m, rows in customer.rows.items()}
    in_use = {model: [row for row in own[model] if row["active"]] for model in (CONTACT, ADDRESS)}
    meant: dict[str, Row | None] = {"name": customer.party}
    for name, kind in _CONTACTS.items():
        meant[name] = _one_of([row for row in in_use[CONTACT] if type_of(row) is kind], [name], asked)
    names = [name for name in _FIELDS if name.startswith("address.")]
    return meant | dict.fromkeys(names, _one_of(in_use[ADDRESS], names, asked))


def _one_of(rows: Sequence[Row], names: Sequence[str], asked: Sequence[Change]) -> Row | None:
    wanted = [change for change in asked if change.field in names]
    if len(rows) < 2 or not wanted:  # noqa: PLR2004  # then it is that one, or none
        return rows[0] if len(rows) == 1 else None
    meant = [row for row in rows if all(_fits(row, change) for change in wanted)]
    if len(meant) != 1:
        field = wanted[0].field.partition(".")[0]
        raise Refused(f"the customer has several of {field}: say which one is wrong")
    return meant[0]


def _fits(row: Row, change: Change) -> bool:
    held = _shown(row, change.field) or ""
    return any(_SAME[change.field](held, said) for said in (change.current, change.asserted) if said)


def _shown(row: Row | None, name: str) -> str | None:
    if row is None:
        return None
    line = name.removeprefix("address.")
    return (row["name"] if name == "name" else row["value"] if name in _CONTACTS else _of_address(row, line)) or None


def _of_address(row: Row, line: str) -> str | None:
    return row["street"] if line == "street" else lines(row).get(line)


def _line(line: str, value: str | None) -> dict[str, str | None]:
    return {"street_unstructured": value, **dict.fromkeys(STREET_PARTS)} if line == "street" else {line: value}
