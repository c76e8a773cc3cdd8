"""The broker that all tests share has the services of one platform: those of another would join the same groups."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]


def test_no_services_but_those_that_all_share_stand_on_the_shared_broker() -> None:
    places = [path for path in TESTS.rglob("*.py") if "bench" not in path.parts]
    standing = [path for path in places if re.search(r"\bServers\([^)]*\bplatform\.kafka_", path.read_text())]
    assert standing == [TESTS / "fixtures" / "live.py"]
