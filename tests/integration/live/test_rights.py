"""Each of the six rights, asked over HTTP, runs to closure over real stores."""

from collections import Counter

from tests.fixtures.live import Live, move
from tests.fixtures.packages import described
from tests.fixtures.stores import NUMBER_PROVED, SINCE


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
