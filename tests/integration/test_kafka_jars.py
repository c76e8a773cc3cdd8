"""The broker's jars are taken whole and as expected, or not at all."""

from pathlib import Path

import pytest

from deploy.local import kafka_jars
from deploy.local.paths import CACHE
from deploy.local.progress import Progress

CUT_SHORT = "import pathlib, sys; pathlib.Path(sys.argv[2], 'kafka_2.13-4.3.1.jar').write_bytes(b'PK half of it')"
COMPLETE = "import shutil, sys; shutil.copytree({!r}, sys.argv[2], dirs_exist_ok=True)"
WITHOUT_NETWORK = "raise SystemExit('no route to host')"


def test_a_download_that_was_cut_short_does_not_count_and_the_next_one_does(tmp_path: Path) -> None:
    with pytest.raises(kafka_jars.JarsMissingError, match=r"kafka_2\.13-4\.3\.1\.jar"):
        kafka_jars.fetch(tmp_path, Progress(), CUT_SHORT)
    assert list(tmp_path.rglob("*.jar")) == []
    whole = kafka_jars.fetch(CACHE, Progress())
    libs = kafka_jars.fetch(tmp_path, Progress(), COMPLETE.format(str(whole)))
    assert (libs / "kafka_2.13-4.3.1.jar").stat().st_size > 1_000_000


def test_what_went_wrong_is_told(tmp_path: Path) -> None:
    with pytest.raises(kafka_jars.JarsMissingError, match="no route to host"):
        kafka_jars.fetch(tmp_path, Progress(), WITHOUT_NETWORK)
    assert list(tmp_path.rglob("*.jar")) == []
