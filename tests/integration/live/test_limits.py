"""A copy beyond the limits of rows, over HTTP: it has none."""

from deploy.local import postgres_databases as databases
from tests.fixtures.live import Live
from tests.fixtures.stores import TICKETS_EACH

MANY = 300
FILL = "INSERT INTO ticket (requester, title, body) SELECT $1, 'Question', 'Answer' FROM generate_series(1, $2::int)"


async def test_a_copy_has_no_limit_of_rows(live: Live) -> None:
    subject = live.somebody()
    await databases.fetch(live.stores.dsns["tickets"], FILL, subject.email, MANY)
    view = await live.closed(subject.submission("access"))
    assert {task["system"]: task["found"] for task in view["tasks"]}["tickets"] == MANY + TICKETS_EACH
