"""What the owner of a SQL store runs is for the user of the connection string, and says nothing else of it."""

import pytest

from shared.domain.errors import Misconfigured
from shared.downstreams.sql.dialects import schema_for


@pytest.mark.parametrize(
    ("dsn", "role"),
    [
        ("postgresql://cdr_privacy:s3cret@db/cdr", '"cdr_privacy"'),
        ("postgresql:///cdr?host=/run/postgresql&user=cdr_privacy", '"cdr_privacy"'),
        ("postgresql://o%22%3B%20DROP%20TABLE%20x@db/cdr", '"o""; DROP TABLE x"'),
    ],
)
def test_the_grants_are_for_the_user_whom_the_connection_string_names(dsn: str, role: str) -> None:
    printed = schema_for(dsn)
    assert f"ON dsr_platform.progress TO {role};\n" in printed
    assert "s3cret" not in printed


def test_a_connection_string_without_a_user_is_told_as_one() -> None:
    with pytest.raises(Misconfigured, match="names no user; write postgresql://USER@HOST/DATABASE"):
        schema_for("postgresql://db/cdr")
