"""The broker's jars are taken whole and as expected, or not at all."""

import shutil
from pathlib import Path

import pytest

from deploy.local import kafka_jars
from deploy.local.paths import CACHE
from deploy.local.progress import Progress, Step


def _cut_short(_workplace: Path, fetched: Path, _step: Step) -> None:
    (fetched / "kafka_2.13-4.3.1.jar").write_bytes(b"PK\x03\x04 half of it")


def _complete(_workplace: Path, fetched: Path, _step: Step) -> None:
    shutil.copytree(kafka_jars.fetch(CACHE, Progress()), fetched, dirs_exist_ok=True)


def _without_network(_workplace: Path, _fetched: Path, _step: Step) -> str:
    return "mvn failed: no route to host"


def test_a_download_that_was_cut_short_does_not_count(tmp_path: Path) -> None:
    with pytest.raises(kafka_jars.JarsMissingError, match=r"kafka_2\.13-4\.3\.1\.jar"):
        kafka_jars.fetch(tmp_path, Progress(), [_cut_short])
    assert list(tmp_path.rglob("*.jar")) == []


def test_the_next_way_is_tried_when_one_fails(tmp_path: Path) -> None:
    libs = kafka_jars.fetch(tmp_path, Progress(), [_without_network, _cut_short, _complete])
    assert (libs / "kafka_2.13-4.3.1.jar").stat().st_size > 1_000_000


def test_every_failure_is_told_when_no_way_is_left(tmp_path: Path) -> None:
    with pytest.raises(kafka_jars.JarsMissingError, match=r"no route to host\n.*missing"):
        kafka_jars.fetch(tmp_path, Progress(), [_without_network, _cut_short])
