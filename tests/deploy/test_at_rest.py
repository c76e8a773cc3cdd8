"""Our database holds no readable personal data, for requests of every right."""

from typing import Any

from deploy.demo.traces import Seeker
from tests.fixtures.live import EVERY_RIGHT, Live


async def test_nothing_that_names_a_subject_is_readable_at_rest(live: Live) -> None:
    values, requests = list[str](), list[str]()
    async with live.api() as client:
        for right, more in EVERY_RIGHT.items():
            person = live.new_person()
            name = f"Ada Quillfeather {person.number}"
            said: dict[str, Any] = person.submission(right, **more)
            said["subject"]["name"] = name
            values += [name, person.email, person.phone, person.phone[1:], person.account_id]
            requests.append(await client.submit(said))
            await client.follow(requests[-1], "closed")
    seeker = Seeker({"person": values, "requests": requests}, encoded=True)
    await seeker.in_postgres(live.dsn)
    assert not seeker.found.get("person"), seeker.found["person"]
    assert seeker.found["requests"].keys() >= {"intake.request", "evidence.entry"}
