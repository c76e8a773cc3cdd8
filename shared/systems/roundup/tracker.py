"""The tracker's REST interface: items by class and id, changed under their ETag, and the privacy routes that are ours.

What a tracker may answer is said by route: what is of another form is refused as a whole.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Final, TypeVar

import httpx
from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, TypeAdapter, ValidationError

from shared.domain.errors import AnswerMalformed, NotSupported, Unavailable
from shared.systems.bounds import MOST
from shared.systems.http_client import HttpClient, connect_http, run_together
from shared.systems.roundup.settings import RoundupSettings

Item = Mapping[str, Any]
CheckLease = Callable[[], Awaitable[None]]
"""Raises where another worker has the task, or the request was withdrawn."""
ItemType = TypeVar("ItemType")
AnswerType = TypeVar("AnswerType")
CHUNK: Final = 100
BATCH: Final = 500
RESOLVED: Final = "resolved"
"""The name of the status of a ticket that needs nothing more."""
_CONFLICTS: Final = 5
_NOT_FOUND: Final = 404
_CHANGED_MEANWHILE: Final = 412


# What it may answer.


def _digits(value: object) -> object:
    return str(value) if type(value) is int else value


def _each_once(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if len({item["id"] for item in items}) < len(items):
        raise ValueError("an item comes twice")
    return items


def _with_id(item: dict[str, Any]) -> dict[str, Any]:
    return {**item, "id": _ID.validate_python(item.get("id"))}


Id = Annotated[str, BeforeValidator(_digits), StringConstraints(pattern=r"^[1-9][0-9]{0,17}$")]
_ID: TypeAdapter[str] = TypeAdapter(Id)
_Class = Annotated[str, StringConstraints(pattern=r"^(user|issue|msg|file|query)$")]
_Count = Annotated[int, Field(strict=True, ge=0, le=MOST)]
_Each = Annotated[list[Annotated[dict[str, Any], AfterValidator(_with_id)]], AfterValidator(_each_once)]
_User = Annotated[dict[str, str | None], AfterValidator(_with_id)]
_ETAG: TypeAdapter[str] = TypeAdapter(Annotated[str, StringConstraints(pattern=r"^[!-~]{1,200}$")])
ITEMS: TypeAdapter[list[dict[str, Any]]] = TypeAdapter(_Each)
"""A search: every item once, with its id."""
PEOPLE: TypeAdapter[list[dict[str, str | None]]] = TypeAdapter(Annotated[list[_User], AfterValidator(_each_once)])
"""Users as they are searched for: texts."""
BELONGINGS: TypeAdapter[dict[str, list[tuple[str, str]]]] = TypeAdapter(dict[_Class, list[tuple[Id, Id]]])
"""Owners: pairs of record and person, by class."""
ROWS: TypeAdapter[dict[str, dict[str, int]]] = TypeAdapter(dict[_Class, dict[Id, _Count]])
"""Rows of history by class and id."""
Links = list[tuple[str, str, Id, str | None]]
"""Each with a sign (added or removed), a class, an ID, and a name if the class has names."""
HistoryRow = tuple[str, str, bool, str, dict[str, Links | str | bool | int | float | None]]
"""A row of the history: when, by which user, whether that is staff, what was done, and what each field said before."""
CHANGES: TypeAdapter[dict[str, dict[str, list[HistoryRow]]]] = TypeAdapter(dict[_Class, dict[Id, list[HistoryRow]]])
"""Rows of the history by class and id, oldest first."""
VALUES: TypeAdapter[dict[str, dict[str, dict[str, Any]]]] = TypeAdapter(dict[_Class, dict[Id, dict[str, Any]]])
"""Field values, by class and ID."""
LEFT: TypeAdapter[list[tuple[int, str]]] = TypeAdapter(
    list[tuple[_Count, Annotated[str, StringConstraints(pattern=r"^(passed on|refused)$")]]]
)
"""Items left unchanged, by position in the call."""
IDS: TypeAdapter[list[str]] = TypeAdapter(list[Id])
COUNT: TypeAdapter[int] = TypeAdapter(_Count)
FIELDS: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])


def member(answer: Any, name: str, form: TypeAdapter[AnswerType], system: str) -> AnswerType:
    """Returns the member of an answer with that name.

    Raises:
        AnswerMalformed: it is missing or malformed
    """
    try:
        return form.validate_python(answer[name] if isinstance(answer, Mapping) else None)
    except (KeyError, ValidationError):
        raise AnswerMalformed(f"{system} answers without {name}, or with {name} in another form") from None


class Tracker:
    """One Roundup tracker as the privacy user sees it.

    Searches travel in a body (a POST marked as GET), so that no identity is in a logged address and no list of IDs
    meets a limit. The tracker's error messages may hold personal data and are never passed on.
    """

    def __init__(
        self, system: str, settings: RoundupSettings, password: str, transport: httpx.AsyncBaseTransport | None
    ) -> None:
        self.system = system
        self.staff_roles = settings.staff_roles
        self._turn = asyncio.Semaphore(settings.parallel)
        url = httpx.URL(str(settings.url))
        connection = connect_http(
            base_url=url.join("rest/"),
            auth=(settings.user, password),
            headers={"Origin": f"{url.scheme}://{url.netloc.decode()}", "X-Requested-With": "rest"},
            timeout=settings.timeout_s,
            transport=transport,
        )
        sign_in = "the user must have the role Privacy and the password that the settings name"
        self._http = HttpClient(system, connection, sign_in=sign_in, limits=settings)

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.close()

    async def search(self, classname: str, fields: str, **where: object) -> Sequence[Item]:
        """The items, other than retired ones, that match all of ``where``; the tracker's own idea of a match."""
        body = {"@fields": fields, "@verbose": 0, **where}
        answer = await self._call("POST", f"data/{classname}", body, {"X-HTTP-Method-Override": "GET"})
        data = self._data(answer)
        found = member(data, "collection", ITEMS, self.system)
        if data.get("@total_size", len(found)) != len(found):
            raise AnswerMalformed(f"{self.system} gives only a part of the {classname} items that it found")
        return found

    async def read(self, classname: str, ids: Iterable[str], fields: str) -> Sequence[Item]:
        """The items with these ids, retired or not, with their content; a hundred in one call where they are in use."""
        wanted = sorted(set(ids), key=int)
        searches = (self.search(classname, fields, **{"id": some, "@verbose": 3}) for some in batches(wanted, CHUNK))
        items = [item for found in await run_together(*searches) for item in found]
        there = {str(item["id"]) for item in items}
        items += await run_together(*(self._get(classname, one, fields) for one in wanted if one not in there))
        return sorted(items, key=lambda item: int(item["id"]))

    async def _get(self, classname: str, identity: str, fields: str) -> Item:
        answer = await self._call("GET", f"data/{classname}/{identity}?@verbose=3&@fields={fields}")
        found = member(self._data(answer), "attributes", FIELDS, self.system)
        return {"id": identity, **found}

    async def content(self, identity: str) -> bytes:
        """The bytes of a file."""
        return (await self._call("GET", f"data/file/{identity}/binary_content")).content

    async def closed_status(self) -> str | None:
        """The id of the status that keeps a ticket out of the queue, if there is one."""
        found = await self.search("status", "name", **{"name:": RESOLVED})
        return next((str(each["id"]) for each in found if each.get("name") == RESOLVED), None)

    async def create(self, classname: str, values: Item) -> str:
        """A new item; its id."""
        return member(self._data(await self._call("POST", f"data/{classname}", values)), "id", _ID, self.system)

    async def change(self, classname: str, identity: str, values: Item, *, look: CheckLease | None = None) -> None:
        """Gives the fields other values, again if the item has changed meanwhile.

        ``look`` is asked each time between the look at the item and its change: what it raises ends this.
        """

        def body(fields: Item) -> Item | None:
            return values if unlike(fields, values) else None

        await self._under_etag(classname, identity, body, look)

    async def add(self, classname: str, identity: str, link: str, other: str) -> None:
        """Adds another item to a list of links, once."""

        def body(fields: Item) -> Item | None:
            return None if any(one["id"] == other for one in fields[link]) else {"@op": "add", link: other}

        await self._under_etag(classname, identity, body)

    async def _under_etag(
        self, classname: str, identity: str, body: Callable[[Item], Item | None], look: CheckLease | None = None
    ) -> None:
        path = f"data/{classname}/{identity}"
        for _ in range(_CONFLICTS):
            present = self._data(await self._call("GET", f"{path}?@verbose=3"))
            fields = member(present, "attributes", FIELDS, self.system)
            if (change := body(fields)) is None:
                return
            if look:
                await look()
            headers = {"If-Match": member(present, "@etag", _ETAG, self.system)}
            done = await self._call("PATCH", path, change, headers, may=(_CHANGED_MEANWHILE,))
            if done.status_code != _CHANGED_MEANWHILE:
                return
        raise Unavailable(f"{self.system}: an item of {classname} is being changed by others all the time")

    async def privacy(self, route: str, body: Item, form: TypeAdapter[AnswerType]) -> AnswerType:
        """The answer of one of the tracker's privacy routes.

        Raises:
            NotSupported: this tracker has none.
        """
        answer = await self._call("POST", f"privacy/{route}", body, may=(_NOT_FOUND,))
        if answer.status_code == _NOT_FOUND:
            raise NotSupported(
                f"{self.system} has no route privacy/{route}, and without it nothing can be removed from its history:"
                " put interfaces.py and lib of deploy/downstreams/roundup/tracker into its home, and try again"
            )
        return member(self._http.json(answer), "data", form, self.system)

    async def of_records(
        self, route: str, records: Mapping[str, Sequence[str]], form: TypeAdapter[AnswerType]
    ) -> AnswerType:
        """The same of a route that is asked for records by class and id."""
        return await self.privacy(route, {"records": records, "staff": self.staff_roles}, form)

    def _data(self, answer: httpx.Response) -> Any:
        return member(self._http.json(answer), "data", FIELDS, self.system)

    async def _call(
        self,
        method: str,
        path: str,
        body: Item | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        may: tuple[int, ...] = (),
    ) -> httpx.Response:
        async with self._turn:
            answer = await self._http.send(method, path, json=body, headers=headers)
        if answer.status_code in may:
            return answer
        # An unforeseen error inside Roundup (a locked database, for example) comes as a 400 that says nothing.
        if answer.is_client_error and b"An error occurred" in answer.content:
            raise Unavailable(f"{self.system} failed at {method} {path.partition('?')[0]}")
        return self._http.expect(answer, f"to {method} {path.partition('?')[0]}")


def batches(many: Sequence[ItemType], size: int = BATCH) -> Iterator[Sequence[ItemType]]:
    """Slices, of themselves small enough for one call of a privacy route."""
    return (many[at : at + size] for at in range(0, len(many), size))


def unlike(fields: Item, values: Item) -> bool:
    """Whether a field that is there has another value; nothing, an empty text and false are the same."""
    return any(key in fields and (fields[key] or "") != (value or "") for key, value in values.items())
