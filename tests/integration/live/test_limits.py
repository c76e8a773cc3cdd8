"""A request beyond a limit, over HTTP: it waits, two persons confirm what they are shown, and it runs to its end."""

from deploy.local import postgres_databases as databases
from tests.fixtures.live import Live, move
from tests.fixtures.stores import TICKETS_EACH

MANY = 300
ROWS = {"system": "tickets", "limit": "max_rows"}
FILL = "INSERT INTO ticket (requester, title, body) SELECT $1, 'Question', 'Answer' FROM generate_series(1, $2::int)"


async def test_a_copy_has_no_limit_of_rows(live: Live) -> None:
    subject = live.somebody()
    await databases.fetch(live.stores.dsns["tickets"], FILL, subject.email, MANY)
    view = await live.closed(subject.submission("access"))
    assert {task["system"]: task["found"] for task in view["tasks"]}["tickets"] == MANY + TICKETS_EACH


async def test_two_keys_of_different_holders_let_an_erasure_beyond_a_limit_run_to_its_end(live: Live) -> None:
    subject, found = live.somebody(), MANY + TICKETS_EACH
    await databases.fetch(live.stores.dsns["tickets"], FILL, subject.email, MANY)
    first, same, second = (live.services.key("privacy", holder) for holder in ("ann-1", "ann-1", "ben-2"))
    async with live.api() as channel, live.api(first) as ann, live.api(same) as ann_again, live.api(second) as ben:
        request_id = await channel.submit(subject.submission("erasure"))
        waiting = await ann.follow(request_id, "awaiting_decision")
        [stopped] = [task for task in waiting["tasks"] if task.get("failure")]
        assert (stopped["system"], stopped["failure"]) == ("tickets", "blast_radius")
        assert stopped["sentence"] == f"{found} are found, and max_rows = 200; nothing was done"
        assert stopped["exceeded"] == {"limit": "max_rows", "found": found, "allowed": 200}
        assert await live.stores.count("tickets", "requester = $1", subject.email) == found

        assert (await move(ann, request_id, "confirmation", **ROWS))["state"] == "awaiting_decision"
        assert (await ann_again.decide(request_id, "confirmation", ROWS)).status_code == 409
        assert (await channel.decide(request_id, "confirmation", ROWS)).status_code == 403
        assert (await move(ben, request_id, "confirmation", **ROWS))["state"] == "in_progress"
        view = await channel.follow(request_id, "closed")
        actions = {(entry["service"], entry["action"]) for entry in await ann.timeline(request_id)}

    assert view["outcome"] == "fulfilled"
    assert {task["system"]: task["found"] for task in view["tasks"]}["tickets"] == found
    assert await live.stores.count("tickets", "requester = $1", subject.email) == 0
    assert {("intake", "limit.confirmed"), ("erasure", "limit.raised")} <= actions
