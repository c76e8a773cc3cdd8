"""A consumer knows until when it has heard everything, also while there is always something new."""

from aiokafka.structs import TopicPartition

from shared.messaging.watermark import Watermark

ONE, OTHER = TopicPartition("topic", 0), TopicPartition("topic", 1)


def test_a_consumer_at_the_end_has_heard_everything_until_now() -> None:
    assert Watermark().consumed_until({ONE: 7, OTHER: 0}, {ONE: 7, OTHER: 0}, 1.0) == 1.0


def test_a_consumer_that_reaches_an_earlier_end_has_heard_everything_until_then() -> None:
    abreast = Watermark()
    assert abreast.consumed_until({ONE: 2}, {ONE: 7}, 1.0) is None
    assert abreast.consumed_until({ONE: 6}, {ONE: 9}, 2.0) is None
    assert abreast.consumed_until({ONE: 8}, {ONE: 12}, 3.0) == 1.0
    assert abreast.consumed_until({ONE: 12}, {ONE: 14}, 4.0) == 3.0


def test_a_consumer_behind_in_one_partition_is_behind() -> None:
    abreast = Watermark()
    for now in (1.0, 2.0, 3.0):
        assert abreast.consumed_until({ONE: 9, OTHER: 1}, {ONE: 9, OTHER: 5}, now) is None


def test_what_was_noted_before_partitions_were_handed_over_does_not_count() -> None:
    abreast = Watermark()
    assert abreast.consumed_until({ONE: 2}, {ONE: 7}, 1.0) is None
    assert abreast.consumed_until({ONE: 7, OTHER: 0}, {ONE: 9, OTHER: 5}, 2.0) is None
    assert abreast.consumed_until({ONE: 9, OTHER: 5}, {ONE: 11, OTHER: 6}, 3.0) == 2.0


def test_a_consumer_without_a_partition_knows_nothing() -> None:
    abreast = Watermark()
    assert abreast.consumed_until({}, {}, 1.0) is None
    assert abreast.consumed_until({}, {}, 2.0) is None
