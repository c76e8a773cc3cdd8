"""A ticketing system that speaks the part of Roundup's REST that our adapter uses, in five milliseconds.

Benches use it instead of Roundup: the adapter makes the same calls (hundreds of records overwritten in one call, all
read again), so only our own time is measured. Each subject is one user with five tickets that have a title and no
messages.
"""

from collections import defaultdict
from typing import Any

import orjson
from starlette.requests import Request

from tests.fakes.slow_answers import SlowApplication
from tests.fixtures.stores import TICKETS_EACH, Subject

Item = dict[str, Any]


class Tracker:
    """Users and issues by id, and the history of both."""

    def __init__(self, subjects: int) -> None:
        self.items: dict[str, dict[str, Item]] = defaultdict(dict)
        self.forgotten: set[tuple[str, str]] = set()
        self.by_address: dict[str, str] = {}
        self.issues: dict[str, list[str]] = {}
        for number in range(subjects):
            one, user = Subject(number), str(number + 1)
            names = {"username": one.account_id, "realname": f"Subject {number}"}
            reached = {"address": one.email, "alternate_addresses": "", "phone": one.phone}
            self.items["user"][user] = {**names, **reached}
            self.by_address[one.email] = user
            self.issues[user] = [str(number * TICKETS_EACH + n + 1) for n in range(TICKETS_EACH)]
            for issue in self.issues[user]:
                self.items["issue"][issue] = {"title": f"Question of {one.email}", "requester": user}

    def left(self) -> int:
        """Counts users and issues with personal data."""
        return sum("@example.com" in str(item) for items in self.items.values() for item in items.values())

    async def answer(self, request: Request) -> tuple[int, Any]:
        """Routes a call by its path below ``/rest/``."""
        body = orjson.loads(await request.body() or b"{}")
        match request.url.path.split("/")[2:]:
            case ["privacy", route]:
                return 200, {"data": self._privacy(route, body)}
            case ["data", "status"]:
                return 200, {"data": {"collection": [{"id": "8", "name": "resolved"}]}}
            case _:
                return 404, {}

    def _privacy(self, route: str, body: Item) -> Any:
        match route:
            case "people":
                users = [user for address in body["addresses"] if (user := self.by_address.get(address))]
                found = [{"id": user, **self.items["user"][user]} for user in users]
                return {"collection": [user for user in found if user["address"] in body["addresses"]]}
            case "records" | "others":
                theirs = body["people"] if route == "records" else ()
                return {"issue": [(issue, user) for user in theirs for issue in self.issues[user]]}
            case "history":
                return {
                    classname: {one: 1 for one in ids if (classname, one) not in self.forgotten}
                    for classname, ids in body["records"].items()
                }
            case "overwrite":
                for record in body["records"]:
                    self.items[record["class"]][record["id"]].update(record["values"])
                return {"left": []}
            case "values":
                return {
                    classname: {one: {key: self.items[classname][one].get(key) for key in fields} for one in ids}
                    for classname, ids in body["records"].items()
                    for fields in [body["fields"][classname]]
                }
            case _:
                self.forgotten |= {(classname, one) for classname, ids in body["records"].items() for one in ids}
                return {}


def application(subjects: int) -> SlowApplication:
    """The tracker with so many users."""
    tracker = Tracker(subjects)
    return SlowApplication(tracker.answer, tracker.left)
