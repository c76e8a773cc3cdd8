"""Each of the six rights, asked over HTTP, runs to closure over real stores."""

import csv
import io
from collections import Counter

import asyncpg
import pytest

from services.export.check import check
from shared.storage import certificate
from tests.fixtures.live import Live, eventually, move, recorded
from tests.fixtures.packages import described, unpacked
from tests.fixtures.stores import NUMBER_PROVED, SINCE, Subject


async def test_an_erasure_is_closed_after_every_store_was_emptied_of_the_subject_and_of_nobody_else(live: Live) -> None:
    subject, neighbour = live.somebody(), live.somebody()
    view = await live.closed(subject.submission())

    assert view["outcome"] == "fulfilled"
    assert {(t["system"], t["found"], t["changed"], t["remaining"]) for t in view["tasks"]} == {
        ("customers", 1, 1, 0),
        ("calls", 50, 50, 0),
        ("tickets", 5, 5, 0),
    }
    assert await live.stores.count("customers", "account_id = $1", subject.account_id) == 0
    assert await live.stores.count("calls", "caller = $1", subject.phone) == 0
    assert await live.stores.count("tickets", "requester = $1", subject.email) == 0
    assert await live.stores.count("calls", "caller = $1", neighbour.phone) == 50
    assert await live.stores.count("tickets", "requester = $1", neighbour.email) == 5


@pytest.mark.parametrize(
    ("right", "counts"),
    [("access", {"account": 1, "call": 50, "ticket": 5}), ("portability", {"account": 1, "call": 50})],
)
async def test_a_package_holds_what_was_found_and_can_be_downloaded_by_who_asked_and_nobody_else(
    live: Live, right: str, counts: dict[str, int]
) -> None:
    subject = live.somebody()
    async with live.api() as client, live.api(live.services.key("channel")) as somebody_else:
        request_id = await client.submit(subject.submission(right))
        view = await client.follow(request_id, "closed")
        package, refused = [await each.get(f"/v1/requests/{request_id}/package") for each in (client, somebody_else)]

    assert refused.status_code == 404
    assert view["outcome"] == "fulfilled"
    assert package.headers["content-type"] == "application/zip"
    assert check(package.content).faults == []
    calls = list(csv.DictReader(io.StringIO(unpacked(package.content)["call.csv"].decode())))
    assert Counter(record["category"] for record in described(package.content)["records"]) == counts
    assert len(calls) == 50
    assert {call["caller"] for call in calls} == {f"'{subject.phone}"}


async def test_what_cannot_be_searched_by_a_customer_number_alone_is_asked_for_and_then_found(live: Live) -> None:
    subject = live.somebody()
    async with live.api() as client:
        asked = subject.submission("access", subject={"account_id": subject.account_id}, proofs=[])
        request_id = await client.submit(asked)
        waiting = await client.follow(request_id, "awaiting_clarification")
        linked = {"identity": "email", "method": "email_link", "on_file_since": SINCE.isoformat()}
        signed_in = {"identity": "account_id", "method": "signed_in_mfa"}  # once more: all of it is one person's
        more = {"subject": subject.submission()["subject"], "proofs": [signed_in, linked, *NUMBER_PROVED]}
        await move(client, request_id, "reply", text="These are mine.", **more)
        view = await client.follow(request_id, "closed")
        package = await client.download(request_id, "package")

    lacking = {task["system"]: task.get("not_searched") for task in waiting["tasks"]}
    assert lacking == {"customers": None, "calls": "nothing_to_search_by", "tickets": "no_identifier"}
    assert view["outcome"] == "fulfilled"
    assert Counter(record["category"] for record in described(package)["records"]) == {
        "account": 1,
        "call": 50,
        "ticket": 5,
    }


async def test_a_store_that_does_not_answer_delays_its_own_part_and_nothing_else(live: Live) -> None:
    subject, elsewhere = live.somebody(), live.somebody()
    deaf = await asyncpg.connect(live.stores.dsns["tickets"])
    async with live.api() as client:
        async with deaf.transaction():
            await deaf.execute("LOCK TABLE ticket IN ACCESS EXCLUSIVE MODE")
            slow = await client.submit(subject.submission())
            await eventually(lambda: _gone(live, subject))
            assert (await client.read(slow))["state"] == "in_progress"
            marketing = elsewhere.submission("objection", scope="direct_marketing")
            assert (await client.follow(await client.submit(marketing), "closed"))["outcome"] == "fulfilled"
        view = await client.follow(slow, "closed")
    await deaf.close()
    assert view["outcome"] == "fulfilled"
    assert await live.stores.count("tickets", "requester = $1", subject.email) == 0


async def _gone(live: Live, subject: Subject) -> bool:
    """Whether the stores that answer hold nothing of them any more."""
    left = await live.stores.count("customers", "account_id = $1", subject.account_id)
    return left + await live.stores.count("calls", "caller = $1", subject.phone) == 0


async def test_a_restriction_is_set_and_lifted_again(live: Live) -> None:
    subject = live.somebody()
    async with live.api() as client, live.api(live.privacy) as officer:
        request_id = await client.submit(subject.submission("restriction", ground="accuracy_contested"))
        view = await client.follow(request_id, "closed")
        restricted = await live.stores.count("customers", "account_id = $1 AND restricted", subject.account_id)
        await move(officer, request_id, "lift")
        done = await recorded(client, request_id, "restriction.lift_completed")

    told = [entry["at"] for entry in done if entry["detail"].get("kind") == "lifting"]
    lifted = [
        entry["at"] for entry in done if entry["detail"].get("operation") == "lift" and "found" in entry["detail"]
    ]
    assert len(told) == 1
    assert told[0] < min(lifted)
    assert (view["outcome"], restricted) == ("fulfilled", 1)
    assert await live.stores.count("customers", "account_id = $1 AND restricted", subject.account_id) == 0


async def test_a_closed_request_has_a_certificate_that_holds_and_any_change_breaks(live: Live) -> None:
    view = await live.closed(live.somebody().submission())
    async with live.api() as client:
        certified = await client.read(view["request_id"], "/certificate")

    trusted = live.services.public_key
    assert certificate.verify(certified, trusted) == []
    actions = {entry["action"] for entry in certified["entries"]}
    assert actions >= {"request.received", "task.concluded", "request.closed"}
    certified["request"]["outcome"] = "no_data"
    assert certificate.verify(certified, trusted) != []
