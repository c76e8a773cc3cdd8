"""A consumer that stands still though there are records for it is noticed; one that waits or works is not."""

from aiokafka.structs import TopicPartition

from shared.messaging.stall import StallWatch

HERE, THERE = TopicPartition("dsr.requests", 0), TopicPartition("dsr.requests", 1)


def test_a_partition_that_stays_behind_at_one_place_is_noticed_after_the_limit() -> None:
    watch = StallWatch(seconds=30)
    assert not watch.stalled({HERE: 5, THERE: 9}, {HERE: 8, THERE: 9}, now=100)
    assert not watch.stalled({HERE: 5, THERE: 9}, {HERE: 20, THERE: 9}, now=129)
    assert watch.stalled({HERE: 5, THERE: 12}, {HERE: 30, THERE: 12}, now=130)


def test_one_that_has_heard_everything_may_wait_for_ever() -> None:
    watch = StallWatch(seconds=30)
    assert not any(watch.stalled({HERE: 8}, {HERE: 8}, now=now) for now in range(0, 1000, 10))


def test_one_that_moves_may_stay_behind() -> None:
    watch = StallWatch(seconds=30)
    assert not any(watch.stalled({HERE: now}, {HERE: 10_000}, now=now) for now in range(0, 1000, 10))


def test_what_was_taken_away_in_between_begins_anew() -> None:
    watch = StallWatch(seconds=30)
    assert not watch.stalled({HERE: 5}, {HERE: 8}, now=0)
    assert not watch.stalled({THERE: 5}, {THERE: 5}, now=20)
    assert not watch.stalled({HERE: 5}, {HERE: 8}, now=40)
    assert watch.stalled({HERE: 5}, {HERE: 8}, now=70)
