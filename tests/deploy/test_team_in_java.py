"""A team on the bus that is written in another language gives a copy: exported, sealed, and in the package."""

import io
import json
import secrets
import shutil
import zipfile
from contextlib import ExitStack
from pathlib import Path

from deploy.demo.client import DsrClient
from deploy.local import postgres_databases as databases
from deploy.local.kafka import Kafka
from deploy.local.paths import CACHE, ROOT
from deploy.local.process import Child
from deploy.local.services import Servers, Services
from shared.domain.topics import ServiceName
from shared.storage import certificate
from tests.fixtures.live import recorded

DOWNSTREAMS = """
[shop]
adapter = "bus"
needs = ["email"]
categories = ["account"]
operations = ["export"]
fields = { email = "A", bought = "M" }
ask_again_s = 1
"""
STORE = "ada@example.com\ta telephone\nben@example.com\ta cable\nada@example.com\ta headset\n"


async def test_a_copy_of_a_team_in_java_is_sealed_and_in_the_package(
    run_folder: Path, postgres_dsn: str, template: str, broker: Kafka
) -> None:
    java = shutil.which("java") if shutil.which("javac") else None
    assert java, "install a JDK, 17 or later: the team is compiled as it starts"
    folder = run_folder / "a team in java"
    folder.mkdir()
    (folder / "downstreams.toml").write_text(DOWNSTREAMS)
    (folder / "orders.tsv").write_text(STORE)
    name = f"java_{secrets.token_hex(4)}"
    dsn = await databases.create(postgres_dsn, name, template)
    with ExitStack() as stack:
        services = Services(folder, Servers(dsn, broker.bootstrap), folder / "downstreams.toml", bus_systems=["shop"])
        services.prepare()
        classes = next(CACHE.glob("kafka-*/libs")) / "*"
        arguments = (broker.bootstrap, services.url, str(folder / "orders.tsv"))
        team = Child(
            "shop",
            [java, "-cp", str(classes), str(ROOT / "tests" / "fakes" / "Team.java"), *arguments],
            log=folder / "shop.log",
            env={"DSR_API_KEY": services.key("downstream:shop")},
            cwd=folder,
        )
        for child in (services.children[ServiceName.INTAKE], services.children[ServiceName.EXPORT], team):
            stack.enter_context(child)
        async with DsrClient(services.url, services.key("channel")) as intake:
            asked = {"right": "access", "subject": {"email": "ada@example.com"}}
            request_id = await intake.submit({**asked, "assurance": {"level": "L2", "method": "portal"}})
            view = await intake.follow(request_id, "closed")
            with zipfile.ZipFile(io.BytesIO(await intake.download(request_id, "package"))) as archive:
                rows = [json.loads(line) for line in archive.read("data.jsonl").splitlines()]
            entries = await recorded(intake, request_id, "result.uploaded")
            signed = json.loads(await intake.download(request_id, "certificate"))
        pieces = "SELECT kind FROM vault.sealed WHERE kind IN ('records', 'upload', 'package', 'release') ORDER BY kind"
        assert [row[0] for row in await databases.fetch(dsn, pieces)] == ["package", "release"]
    await databases.drop(postgres_dsn, name)
    assert view["outcome"] == "fulfilled"
    assert [row["data"]["bought"] for row in rows] == ["a telephone", "a headset"]
    assert {(row["system"], row["category"]) for row in rows} == {("shop", "account")}
    assert [each["detail"]["records"] for each in entries if each["action"] == "result.uploaded"] == [2]
    assert certificate.verify(signed, services.public_key) == []
