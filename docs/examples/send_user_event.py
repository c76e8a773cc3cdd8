"""Tells the platform that a user asks for a copy of their data, and prints the id of the request.

python send_user_event.py '{"subject": {"email": "ada@example.org"}, "assurance": {"level": "L1", "method": "account"}}'
"""

import asyncio
import json
import os
import sys
import uuid

import aiokafka
import httpx


async def ask(who: str) -> str:
    """Posts who it is about, then sends the event that names them by the token alone."""
    key = {"Authorization": f"Bearer {os.environ['API_KEY']}"}
    async with httpx.AsyncClient(base_url=os.environ["API"], headers=key) as intake:
        token = str((await intake.post("/v1/subjects", content=who)).raise_for_status().json()["subject"])
    event = {"specversion": "1.0", "id": str(uuid.uuid4()), "source": "/selfcare", "type": "user.requested.access"}
    value = json.dumps({**event, "data": {"subject": token}}).encode()
    headers = [("content-type", b"application/cloudevents+json; charset=UTF-8")]
    async with aiokafka.AIOKafkaProducer(bootstrap_servers=os.environ["KAFKA"], acks="all") as kafka:
        await kafka.send_and_wait("user.events.selfcare", value, headers=headers)
    return token


if __name__ == "__main__":
    sys.stdout.write(asyncio.run(ask(sys.argv[1])) + "\n")
