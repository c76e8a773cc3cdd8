"""What operators see: where something went wrong, and never about whom."""

import io
import logging

import pytest
from opentelemetry.sdk.trace import TracerProvider

from shared.runtime.liveness import Heartbeats
from shared.runtime.telemetry import DiscreetFormatter, Tracing, traceparent, where

PERSONAL = "ada.lovelace@example.org"


def look_up() -> None:
    raise KeyError(PERSONAL)


def failure() -> Exception:
    with pytest.raises(KeyError) as raised:
        look_up()
    return raised.value


def test_an_error_is_told_by_its_name_and_place_without_its_message() -> None:
    told = where(failure())
    assert told.startswith("KeyError at test_telemetry.py:")
    assert told.endswith(" look_up")
    assert PERSONAL not in told


def test_of_a_group_every_error_is_told() -> None:
    group = ExceptionGroup(PERSONAL, [failure(), ExceptionGroup(PERSONAL, [failure()])])
    assert where(group).count("KeyError at") == 2
    assert PERSONAL not in where(group)


def test_whoever_logs_an_exception_its_message_stays_out() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(DiscreetFormatter("%(levelname)s %(message)s"))
    logger = logging.getLogger("some library")
    logger.addHandler(handler)
    try:
        look_up()
    except KeyError:
        logger.exception("it broke", stack_info=True)
    finally:
        logger.removeHandler(handler)
    assert "ERROR it broke\nKeyError at test_telemetry.py:" in stream.getvalue()
    assert PERSONAL not in stream.getvalue()


def test_a_loop_that_stands_still_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    heartbeats, now = Heartbeats(limit_seconds=60), [1_000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    heartbeats.beat("relay")
    heartbeats.beat("consume")
    now[0] += 50
    heartbeats.beat("relay")
    assert heartbeats.stalled() == []
    now[0] += 20
    assert heartbeats.stalled() == ["consume"]


def test_whether_a_trace_is_sampled_is_one_bit_of_its_flags() -> None:
    tracing = Tracing(TracerProvider().get_tracer("test"))
    parents = [f"00-{'a' * 32}-{'b' * 16}-{flags}" for flags in ("01", "03", "02", "00")]
    with tracing.each("handle", parents) as traces:
        went_on = [trace == f"{parent[:-2]}00" for trace, parent in zip(traces, parents, strict=True)]
    assert went_on == [False, False, True, True]
    assert [str(trace)[-2:] for trace in traces] == ["01", "01", "00", "00"]


def test_of_the_flags_of_a_trace_only_the_one_that_we_know_goes_further() -> None:
    assert [traceparent(TRACE[:-2] + flags) for flags in ("00", "01", "fe", "ff")] == [
        TRACE[:-2] + flags for flags in ("00", "01", "00", "01")
    ]


TRACE = f"00-{'a1' * 16}-{'b2' * 8}-01"


@pytest.mark.parametrize(
    "said",
    [
        PERSONAL,
        "",
        f"{TRACE} ",
        f"{TRACE}\n",
        f"{TRACE}-{PERSONAL}",
        TRACE.upper(),
        TRACE.replace("00-", "ff-", 1),
        f"00-{'0' * 32}-{'b2' * 8}-01",
        f"00-{'a1' * 16}-{'0' * 16}-01",
        "0" * 2_200_000,
    ],
)
@pytest.mark.parametrize("begins", [False, True])
def test_what_is_no_traceparent_to_the_letter_goes_no_further(said: str, *, begins: bool) -> None:
    tracing = Tracing(TracerProvider().get_tracer("test"), begins=begins)
    assert traceparent(said) is None
    with tracing.serve("submit", said) as passed_on:
        assert passed_on != said
    with tracing.each("handle", [said, TRACE]) as parents:
        assert parents[0] is None
        assert str(parents[1]).startswith(TRACE[:36])
    with tracing.together("call", [said]):
        pass


def test_a_traceparent_is_passed_on_where_nothing_is_recorded() -> None:
    with Tracing(TracerProvider().get_tracer("test")).serve("submit", TRACE[:-1] + "0") as passed_on:
        assert passed_on == TRACE[:-1] + "0"
