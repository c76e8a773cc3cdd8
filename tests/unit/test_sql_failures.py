"""What a SQL store says is told as what to do: try again later, or correct how we reach it."""

import asyncpg
import pytest

from shared.domain.errors import DsrError, SignInRefused, SystemRefused, Unavailable
from shared.downstreams.sql.failures import translated


@pytest.mark.parametrize(
    ("raised", "told", "says"),
    [
        (asyncpg.InvalidPasswordError("wrong"), SignInRefused, "correct the user or the password"),
        (asyncpg.InvalidAuthorizationSpecificationError("no such role"), SignInRefused, "correct the user"),
        (asyncpg.InvalidCatalogNameError("no such database"), SignInRefused, "no database of that name"),
        (asyncpg.ClientConfigurationError("what?"), SystemRefused, "its connection string cannot be used"),
        (asyncpg.CannotConnectNowError("starting up"), Unavailable, "away or busy"),
        (asyncpg.TooManyConnectionsError("full"), Unavailable, "away or busy"),
        (ConnectionRefusedError(), Unavailable, "away or busy"),
    ],
)
def test_who_is_not_let_in_is_told_to_a_person_and_an_outage_is_waited_for(
    raised: Exception, told: type[DsrError], says: str
) -> None:
    with pytest.raises(told, match=says) as refused, translated("orders"):
        raise raised
    assert type(refused.value) is told
