"""What systems call what they hold is known to the policy of proofs, else the strictest proof is needed for it."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from shared.domain.proofs import proof_policy
from shared.domain.toml_file import read_toml
from shared.downstreams.roundup.erasure import CATEGORIES as OF_ROUNDUP
from shared.downstreams.sql.declaration.dataset import Dataset
from shared.downstreams.tryton.export import records
from shared.downstreams.tryton.party import CATEGORIES as OF_TRYTON
from shared.downstreams.tryton.party import Address, Contact, NumberAssignment, Party

POLICY = proof_policy()
SHIPPED = Path(__file__).parents[2] / "shared" / "policy"
EVERYTHING = Party(
    *(1, "C1", "Ada", True, False, False, None),
    contacts=(Contact(1, "email", "ada@example.org", "ada@example.org", active=True),),
    assignments=(NumberAssignment(1, "+442079460000", datetime(2025, 1, 1, tzinfo=UTC)),),
    addresses=(Address(1, active=True, street="Street 1", lines={"city": "London"}),),
    identifiers=(("eu_vat", "GB1"),),
)


def test_the_crm_hands_out_and_counts_no_kind_of_row_that_it_has_not_declared() -> None:
    assert {record.category for record in records(EVERYTHING, "crm")} == set(OF_TRYTON)
    assert {category for category, count in EVERYTHING.counts().items() if count} == set(OF_TRYTON)


@pytest.mark.parametrize("held", [OF_TRYTON, tuple(OF_ROUNDUP.values())], ids=["tryton", "roundup"])
def test_the_policy_knows_what_each_kind_of_system_holds(held: tuple[str, ...]) -> None:
    assert POLICY.unknown(held) == []


@pytest.mark.parametrize("path", sorted((SHIPPED / "datasets").glob("*.toml")), ids=lambda path: path.stem)
def test_the_policy_knows_what_shipped_datasets_hold(path: Path) -> None:
    assert POLICY.unknown([table.category for table in read_toml(path, Dataset).tables.values()]) == []
