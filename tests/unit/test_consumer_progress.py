"""A consumer knows until when it has consumed everything, and one that stands still is noticed."""

from collections.abc import Iterable, Mapping

import pytest
from aiokafka.structs import TopicPartition

from shared.messaging.progress import Assignments, Progress

ONE, OTHER = TopicPartition("topic", 0), TopicPartition("topic", 1)
Offsets = Mapping[TopicPartition, int]
Poll = tuple[Offsets, Offsets]
"""Positions, and the ends of the partitions."""
BEHIND: Poll = ({ONE: 5, OTHER: 9}, {ONE: 8, OTHER: 9})


def stalls_at(progress: Progress, polls: Iterable[Poll]) -> int | None:
    """The number of the first poll (first = 1) that finds the consumer stalled."""
    return next((number for number, poll in enumerate(polls, 1) if progress.stalled(*poll)), None)


@pytest.mark.parametrize(
    ("polls", "at"),
    [
        pytest.param([BEHIND] * 20, 16, id="stands at one place"),
        pytest.param([({ONE: 5}, {ONE: 8 + n}) for n in range(20)], 16, id="stands while its end moves on"),
        pytest.param([({ONE: 8}, {ONE: 8})] * 100, None, id="has consumed everything"),
        pytest.param([({ONE: n}, {ONE: 10_000}) for n in range(100)], None, id="moves, and stays behind"),
        pytest.param([BEHIND] * 10 + [({OTHER: 9}, {OTHER: 9})] + [BEHIND] * 20, 27, id="was taken away in between"),
    ],
)
def test_a_partition_that_stays_behind_at_one_place_is_noticed_after_thirty_seconds(
    polls: list[Poll], at: int | None
) -> None:
    assert stalls_at(Progress(), polls) == at


def test_a_consumer_that_its_group_gives_no_answer_is_noticed_after_thirty_seconds() -> None:
    progress = Progress()
    group = Assignments(progress)
    group.on_partitions_revoked([ONE])
    assert stalls_at(progress, [({}, {})] * 20) == 16
    group.on_partitions_assigned([])
    assert stalls_at(progress, [({}, {})] * 100) is None, "others have all partitions"


def test_a_consumer_that_works_at_a_batch_for_long_has_not_stalled() -> None:
    progress = Progress()
    progress.in_hand = {OTHER: 3}
    assert stalls_at(progress, [BEHIND] * 100) is None
    progress.in_hand = {}
    assert stalls_at(progress, [BEHIND] * 20) == 16


@pytest.mark.parametrize(
    ("polls", "until"),
    [
        pytest.param([({ONE: 7, OTHER: 0}, {ONE: 7, OTHER: 0})], [1], id="at the end: until now"),
        pytest.param(
            [({ONE: 2}, {ONE: 7}), ({ONE: 6}, {ONE: 9}), ({ONE: 8}, {ONE: 12}), ({ONE: 12}, {ONE: 14})],
            [None, None, 1, 3],
            id="at the end of an earlier poll: until then",
        ),
        pytest.param([({ONE: 9, OTHER: 1}, {ONE: 9, OTHER: 5})] * 3, [None] * 3, id="behind in one partition: behind"),
        pytest.param(
            [({ONE: 2}, {ONE: 7}), ({ONE: 7, OTHER: 0}, {ONE: 9, OTHER: 5}), ({ONE: 9, OTHER: 5}, {ONE: 11, OTHER: 6})],
            [None, None, 2],
            id="what was noted before partitions were handed over does not count",
        ),
        pytest.param([({}, {})] * 2, [None] * 2, id="without a partition nothing is known"),
    ],
)
def test_until_when_everything_was_consumed(polls: list[Poll], until: list[float | None]) -> None:
    progress = Progress()
    assert [progress.consumed_until(*poll, at) for at, poll in enumerate(polls, 1)] == until


def test_what_is_in_hand_is_not_consumed_yet() -> None:
    progress = Progress()
    progress.in_hand = {ONE: 4}
    assert progress.consumed_until({ONE: 7}, {ONE: 7}, 1.0) is None
    progress.in_hand = {}
    assert progress.consumed_until({ONE: 7}, {ONE: 9}, 2.0) == 1.0
