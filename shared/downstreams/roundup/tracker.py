"""The tracker's REST interface: items by class and id, changed under their ETag, and its privacy routes if any."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, TypeVar

import httpx
from pydantic import StringConstraints, TypeAdapter

from shared.domain.errors import AnswerMalformed, Refused, Unavailable
from shared.downstreams.http_client import HttpClient, connect, together
from shared.downstreams.roundup.answers import FIELDS, ITEMS, Id, member
from shared.downstreams.roundup.settings import RoundupSettings

Item = Mapping[str, Any]
Failure = Unavailable | Refused
Look = Callable[[], Awaitable[None]]
"""Raises where somebody else has the task by now, or nobody is to do it any more."""
Each = TypeVar("Each")
Said = TypeVar("Said")
CHUNK = 100
BATCH = 500
_CONFLICTS = 5
_NEW: TypeAdapter[str] = TypeAdapter(Id)
_ETAG: TypeAdapter[str] = TypeAdapter(Annotated[str, StringConstraints(pattern=r"^[!-~]{1,200}$")])
_NOT_FOUND = 404
_CONFLICT = 409
_CHANGED_MEANWHILE = 412


class Tracker:
    """One Roundup tracker as the privacy user sees it.

    Searches travel in a body (a POST that says it is a GET), so no identity stands in an address that servers log, and
    no list of ids meets a limit. What the tracker says about a refusal may hold personal data: it is never passed on.
    """

    def __init__(
        self, system: str, settings: RoundupSettings, password: str, transport: httpx.AsyncBaseTransport | None
    ) -> None:
        self.system = system
        self.staff_roles = settings.staff_roles
        self._turn = asyncio.Semaphore(settings.parallel)
        url = httpx.URL(str(settings.url))
        connection = connect(
            base_url=url.join("rest/"),
            auth=(settings.user, password),
            headers={"Origin": f"{url.scheme}://{url.netloc.decode()}", "X-Requested-With": "rest"},
            timeout=settings.timeout_s,
            transport=transport,
        )
        sign_in = "the user must have the role Privacy and the password that the settings name"
        self._http = HttpClient(system, connection, sign_in=sign_in, limits=settings)

    def is_staff(self, roles: str | None) -> bool:
        """Whether whoever has these roles, in a list with commas, answers tickets."""
        has = {role.strip().casefold() for role in (roles or "").split(",")}
        return any(role.casefold() in has for role in self.staff_roles)

    async def close(self) -> None:
        """Close the connections."""
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

    async def search_links(self, classname: str, fields: str, key: str, ids: Iterable[str]) -> Sequence[Item]:
        """The items, other than retired ones, whose link ``key``, or own id, is one of the ids."""
        wanted = [{key: list(chunk) if key == "id" else ",".join(chunk)} for chunk in _chunks(ids)]
        found = await together(*(self.search(classname, fields, **each) for each in wanted))
        return [item for items in found for item in items]

    async def read(self, classname: str, ids: Iterable[str], fields: str) -> Sequence[Item]:
        """The items with these ids, retired or not, with their content; a hundred in one call where they are in use."""
        chunks = _chunks(ids)
        searches = (self.search(classname, fields, **{"id": chunk, "@verbose": 3}) for chunk in chunks)
        listed = await together(*searches)
        items = [item for found in listed for item in found]
        missing = {one for chunk in chunks for one in chunk} - {str(item["id"]) for item in items}
        items += await together(*(self._get(classname, one, fields) for one in sorted(missing, key=int)))
        return sorted(items, key=lambda item: int(item["id"]))

    async def _get(self, classname: str, identity: str, fields: str) -> Item:
        answer = await self._call("GET", f"data/{classname}/{identity}?@verbose=3&@fields={fields}")
        found = member(self._data(answer), "attributes", FIELDS, self.system)
        return {"id": identity, **found}

    async def content(self, identity: str) -> bytes:
        """The bytes of a file."""
        return (await self._call("GET", f"data/file/{identity}/binary_content")).content

    async def create(self, classname: str, values: Item) -> str:
        """A new item; its id."""
        return member(self._data(await self._call("POST", f"data/{classname}", values)), "id", _NEW, self.system)

    async def change(
        self, classname: str, identity: str, values: Item, *, unseen: Item | None = None, look: Look | None = None
    ) -> None:
        """Give those of the fields that the class has other values; again if somebody changed the item meanwhile.

        ``unseen`` are values that cannot be read back: they go along if anything else changes. ``look`` is asked each
        time between the look at the item and its change: what it raises ends this.
        """

        def body(fields: Item) -> Item | None:
            if not unlike(fields, values):
                return None
            return {key: value for key, value in {**values, **(unseen or {})}.items() if key in fields}

        await self._under_etag("PATCH", classname, identity, body, look)

    async def add(self, classname: str, identity: str, link: str, other: str) -> None:
        """Add another item to a list of links, once."""

        def body(fields: Item) -> Item | None:
            return None if any(one["id"] == other for one in fields[link]) else {"@op": "add", link: other}

        await self._under_etag("PATCH", classname, identity, body)

    async def retire(self, classname: str, identity: str) -> None:
        """Take an item out of every list; its data stay."""
        await self._under_etag("DELETE", classname, identity, lambda _: {})

    async def _under_etag(
        self,
        method: str,
        classname: str,
        identity: str,
        body: Callable[[Item], Item | None],
        look: Look | None = None,
    ) -> None:
        path, retired = f"data/{classname}/{identity}", False
        for _ in range(_CONFLICTS):
            present = self._data(await self._call("GET", f"{path}?@verbose=3"))
            fields = member(present, "attributes", FIELDS, self.system)
            change = body(fields)
            if change is None:
                break
            if look:
                await look()
            headers = {"If-Match": member(present, "@etag", _ETAG, self.system)}
            done = await self._call(method, path, change or None, headers, may=(_CHANGED_MEANWHILE, _CONFLICT))
            if done.status_code == _CONFLICT:
                # What is retired cannot be changed: take it back for the moment.
                if retired:
                    raise Refused(f"{self.system} refused the new values of an item of {classname}")
                await self._call("PATCH", path, {"@op": "action", "@action_name": "restore"}, headers)
                retired = True
            elif done.status_code != _CHANGED_MEANWHILE:
                break
        else:
            raise Unavailable(f"{self.system}: an item of {classname} is being changed by others all the time")
        if retired:
            await self.retire(classname, identity)

    async def privacy(self, route: str, body: Item, form: TypeAdapter[Said]) -> Said | None:
        """The answer of one of the tracker's privacy routes; ``None`` where this tracker has none."""
        answer = await self._call("POST", f"privacy/{route}", body, may=(_NOT_FOUND,))
        return None if answer.status_code == _NOT_FOUND else member(self._http.json(answer), "data", form, self.system)

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


def _chunks(ids: Iterable[str]) -> list[Sequence[str]]:
    return [*batches(sorted(set(ids), key=int), CHUNK)]


def batches(many: Sequence[Each], size: int = BATCH) -> Iterator[Sequence[Each]]:
    """Slices, of themselves small enough for one call of a privacy route."""
    return (many[at : at + size] for at in range(0, len(many), size))


def unlike(fields: Item, values: Item) -> bool:
    """Whether a field that is there has another value; nothing, an empty text and false are the same."""
    return any(key in fields and (fields[key] or "") != (value or "") for key, value in values.items())
