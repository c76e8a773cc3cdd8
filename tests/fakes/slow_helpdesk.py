"""A help desk that is connected by a declaration, and takes fifty milliseconds for each answer, as a SaaS does.

People are searched and their tickets listed one at a time; both are erased, and looked at, by up to a hundred ids.
Each subject is one user with five tickets.
"""

from typing import Any

from starlette.requests import Request

from tests.fakes.slow_answers import SlowApplication, serve
from tests.fixtures.stores import TICKETS_EACH, Subject

SECONDS = 0.05
AT_A_TIME = 100
DECLARATION = """
auth = { value = "Bearer {FAKE_PASSWORD}" }
check = { get = "/users" }

[resource.user]
category = "contact"
find = { get = "/users", query = { email = "{email}" }, by = ["email"], records = "users" }
owner = { email = "email" }
erase = [{ delete = "/users", query = { ids = "{ids}" }, batch = 100 }]
verify = { search = true, ask = [
    { get = "/users", query = { ids = "{ids}" }, batch = 100, shown = "users.*.id", gone = [USERS] },
] }

[resource.ticket]
category = "ticket"
of = "user"
find = { get = "/tickets", query = { user = "{user.id}" }, records = "tickets" }
owner = { user = "user.id" }
erase = [{ delete = "/tickets", query = { ids = "{ids}" }, batch = 100 }]
verify = { ask = [
    { get = "/tickets", query = { ids = "{ids}" }, batch = 100, shown = "tickets.*.id", gone = [TICKETS] },
] }
""".replace("USERS", '{ path = "users", equals = [] }').replace("TICKETS", '{ path = "tickets", equals = [] }')
Record = dict[str, Any]


class HelpDesk:
    """Users and tickets by id."""

    def __init__(self, subjects: int) -> None:
        self.records: dict[str, dict[int, Record]] = {"users": {}, "tickets": {}}
        self.by_email: dict[str, int] = {}
        self.by_user: dict[int, range] = {}
        for number in range(subjects):
            email = Subject(number).email
            self.by_email[email] = number
            self.by_user[number] = range(number * TICKETS_EACH, (number + 1) * TICKETS_EACH)
            self.records["users"][number] = {"id": number, "email": email}
            for ticket in self.by_user[number]:
                self.records["tickets"][ticket] = {"id": ticket, "user": number, "subject": f"Question of {email}"}

    def left(self) -> int:
        """Users and tickets that are still there."""
        return sum(len(each) for each in self.records.values())

    async def answer(self, request: Request) -> tuple[int, Any]:
        """Routes a call by its path and what it asks by."""
        kind, asked = request.url.path.strip("/"), request.query_params
        there = self.records[kind]
        if "ids" not in asked:
            mine = [self.by_email[asked["email"]]] if kind == "users" else self.by_user[int(asked["user"])]
            return 200, {kind: [there[number] for number in mine if number in there]}
        wanted = [int(number) for number in asked["ids"].split(",")]
        if request.method == "GET":
            return 200, {kind: [there[number] for number in wanted if number in there]}
        for number in wanted:
            there.pop(number, None)
        return 200, {}


def application(subjects: int) -> SlowApplication:
    """The help desk with so many users."""
    desk = HelpDesk(subjects)
    return SlowApplication(desk.answer, desk.left, SECONDS)


if __name__ == "__main__":
    serve(application)
