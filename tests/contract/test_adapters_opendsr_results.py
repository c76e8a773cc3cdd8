"""What an OpenDSR processor gives as results of an access request: as many as it counted, of the subject alone."""

import httpx
import pytest

from shared.domain.errors import AnswerMalformed, ForeignHit
from shared.downstreams.contract import Receipt
from tests.contract.adapter_stands import Engine, OpenDsrStand, erasure_of
from tests.contract.test_adapters_opendsr import ADA, answering, completed, copied


def giving(results: object, count: int = 1) -> OpenDsrStand:
    """A processor that counts so many results of whatever it is asked for, and gives these."""

    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/results"):
            return httpx.Response(200, json=results)
        return completed(request, results_count=count, results_url="http://localhost/v2/results")

    return answering(handler)


@pytest.mark.parametrize(
    ("results", "count", "says"),
    [
        ({ADA: [{"list": "0"}]}, 1, "each a word of small letters"),
        ({"../../x": [{"list": "0"}]}, 1, "each a word of small letters"),
        ({"+4930123456": [{"list": "0"}]}, 1, "each a word of small letters"),
        ({"a" * 42: [{"list": "0"}]}, 1, "each a word of small letters"),
        ({"subscription": {"list": "0"}}, 1, "are not JSON objects by category"),
        (["0"], 1, "are not JSON objects by category"),
        ("none", 1, "are not JSON objects by category"),
        ([{"list": "0"}], 2, "counts 2 results and gives 1"),
        ({"subscription": [{"list": "0"}, {"list": "1"}]}, 1, "counts 1 results and gives 2"),
    ],
)
@pytest.mark.parametrize("operation", ["export", "erase"])
async def test_results_that_are_none_or_not_as_many_as_were_counted_are_not_believed(
    results: object, count: int, says: str, operation: str
) -> None:
    stand = giving(results, count)
    result = await copied(stand) if operation == "export" else (await Engine(stand).erase([erasure_of(stand, ADA)]))[0]
    assert isinstance(result, AnswerMalformed)
    assert says in str(result)
    assert ADA not in str(result)


BEN = "ben@example.com"


@pytest.mark.parametrize(
    "data",
    [
        {"email": BEN},
        {"email": [ADA, BEN]},
        {"contact": {"email": BEN}},
        {"contacts": [{"email": ADA}, {"email": BEN}]},
        {"email": {"work": ADA, "home": BEN}},
        {"Email": BEN},
        {"E-Mail": f" {BEN} "},
        {"e_mail": BEN},
    ],
)
async def test_somebody_elses_identity_is_seen_wherever_it_stands_in_a_result(data: dict[str, object]) -> None:
    assert isinstance(await copied(giving([data])), ForeignHit)


@pytest.mark.parametrize(
    "data", [{"email": ADA}, {"EMAIL": [ADA.upper()]}, {"email": None}, {"sender": BEN}, {"email": ""}]
)
async def test_the_subjects_own_is_not_taken_for_somebody_elses(data: dict[str, object]) -> None:
    assert isinstance(await copied(giving([data])), Receipt)
