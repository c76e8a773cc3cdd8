"""Changes in place in a tracker: correct a person's fields (Art. 16), set and lift their flags (Art. 18, 21)."""

from collections.abc import Iterable, Mapping, Sequence

from shared.domain.errors import Refused, ResidueFound
from shared.domain.operations import Change, Operation
from shared.domain.text import nfc
from shared.downstreams.contract import Task
from shared.downstreams.roundup.subjects import same_number
from shared.downstreams.roundup.tracker import Item, Look, Tracker, unlike

_FLAGS: Mapping[Operation, Mapping[str, bool]] = {
    Operation.RESTRICT: {"restricted": True},
    Operation.LIFT: {"restricted": False},
    Operation.SUPPRESS: {"marketing_opt_out": True},
}
FIELDS = {"name": "realname", "email": "address", "phone": "phone"}


async def amend(tracker: Tracker, task: Task, people: Sequence[str], look: Look) -> list[int]:
    """Change each of the people and look again; returns of each correction how many of them show it now.

    The tracker has no transactions in which to fence off a worker that slept, but versions of its items: whoever looks
    at our own tasks between reading a version and changing it can change nothing that was changed by its heir since.

    A correction leaves the former value in the tracker's history: Art. 16 asks for no more, and an erasure removes it.

    Raises:
        Refused: nothing is said to be wrong.
        ResidueFound: the tracker said yes, and the value is not there.
    """
    present = await tracker.read(
        "user", people, "realname,address,alternate_addresses,phone,restricted,marketing_opt_out"
    )
    shown = [0] * len(task.changes)
    for person in present:
        values = _FLAGS.get(task.operation) or corrected(person, task.changes)
        for place, change in enumerate(task.changes):
            shown[place] += shows({**person, **values}, change)
        if not values:
            continue
        await tracker.change("user", str(person["id"]), values, look=look)
        (again,) = await tracker.read("user", [str(person["id"])], ",".join(values))
        if unlike(again, values):
            raise ResidueFound("the tracker accepted the change, and the former value is still there")
    return shown


async def wrong(tracker: Tracker, task: Task, people: Sequence[str]) -> int:
    """How many of the people do not show now what they should."""
    unset = {"restricted": False, "marketing_opt_out": False}
    present = await tracker.read("user", people, ",".join(unset))
    return sum(unlike({**unset, **person}, _FLAGS[task.operation]) for person in present)


async def flagged(tracker: Tracker, operation: Operation) -> set[str]:
    """The users that bear its flag, whoever has set it."""
    return {str(user["id"]) for user in await tracker.search("user", "id", **_FLAGS[operation])}


async def bearing(tracker: Tracker, people: Iterable[str], operation: Operation) -> set[str]:
    """Those of the people who bear its flag."""
    (flag, value), *_ = _FLAGS[operation].items()
    present = await tracker.read("user", sorted(people), flag)
    return {str(person["id"]) for person in present if bool(person.get(flag)) is value}


def corrected(person: Item, changes: Sequence[Change]) -> Mapping[str, str]:
    """The fields of a user as they must become; an address among the alternate ones is corrected there.

    Of a value that is neither what is said to be wrong nor what is said to be right nothing is known: it stays.

    Raises:
        Refused: nothing is said to be wrong.
    """
    known = [change for change in changes if change.field in FIELDS]  # the rest is another system's matter
    if not known:
        raise Refused("a rectification must say what to change")
    values: dict[str, str] = {}
    for change in known:
        field, current = FIELDS[change.field], _plain(change.current or "")
        alternates = str(person.get("alternate_addresses") or "").split()
        if field == "address" and current in map(_plain, alternates):
            values["alternate_addresses"] = "\n".join(
                change.asserted if _plain(alternate) == current else alternate for alternate in alternates
            )
        elif not change.current or any(
            _same(field, each, person.get(field)) for each in (change.current, change.asserted)
        ):
            values[field] = change.asserted
    return values


def shows(person: Item, change: Change) -> bool:
    """Whether a user has what is said to be right."""
    field = FIELDS.get(change.field, "")
    alternates = str(person.get("alternate_addresses") or "").split() if field == "address" else []
    held = [person.get(field), *alternates] if field else []
    return any(_same(field, change.asserted, each) for each in held)


def _same(field: str, said: str, held: object) -> bool:
    written = str(held or "")
    return bool(written) and (same_number(written, said) if field == "phone" else _plain(written) == _plain(said))


def _plain(text: str) -> str:
    return nfc(" ".join(text.casefold().split()))
