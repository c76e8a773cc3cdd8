"""What stands in our database, of requests of every right."""

from typing import Any

from deploy.demo.traces import Seeker
from tests.fixtures.live import EVERY_RIGHT, Live


async def test_nothing_that_names_a_subject_is_readable_at_rest(live: Live) -> None:
    values, requests = list[str](), list[str]()
    async with live.api() as client:
        for right, more in EVERY_RIGHT.items():
            somebody = live.new_person()
            name = f"Ada Quillfeather {somebody.number}"
            said: dict[str, Any] = somebody.submission(right, **more)
            said["subject"]["name"] = name
            values += [name, somebody.email, somebody.phone, somebody.phone[1:], somebody.account_id]
            requests.append(await client.submit(said))
            await client.follow(requests[-1], "closed")
    seeker = Seeker({"somebody": values, "requests": requests}, encoded=True)
    await seeker.in_postgres(live.dsn)
    assert not seeker.found.get("somebody"), seeker.found["somebody"]
    assert seeker.found["requests"].keys() >= {"intake.request", "evidence.entry"}
