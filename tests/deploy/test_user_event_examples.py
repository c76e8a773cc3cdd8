"""A service in another language tells of its user as docs/examples shows, and reads where the request stands."""

import asyncio
import json
import os
import subprocess
from functools import partial

from deploy.local import kafka
from deploy.local.kafka import find_java
from deploy.local.paths import CACHE, ROOT
from tests.fixtures.live import Live

EXAMPLE = ROOT / "docs" / "examples" / "SendUserEvent.java"


async def test_an_event_of_the_java_example_becomes_a_request_and_closes(live: Live) -> None:
    subject, key = live.new_person(), live.services.key("channel", "selfcare")
    said = {name: subject.submission("access")[name] for name in ("subject", "assurance", "proofs")}
    env = {"API": live.services.url, "API_KEY": key, "KAFKA": live.services.env["DSR_KAFKA_BOOTSTRAP"]}
    jars = kafka.fetch(CACHE)
    command = [str(find_java()), "-cp", f"{jars}/*", str(EXAMPLE), json.dumps(said)]
    options = {"env": {**os.environ, **env}, "capture_output": True, "text": True, "timeout": 120}
    done = await asyncio.to_thread(partial(subprocess.run, command, check=False, **options))
    assert done.returncode == 0, done.stderr
    async with live.api(key) as client:
        view = await client.follow(done.stdout.split()[-1], "closed")
    assert (view["right"], view["outcome"]) == ("access", "fulfilled")
