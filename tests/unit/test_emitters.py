"""The file of emitters is checked when it is read: what is wrong in it is said with the place and the mend."""

from pathlib import Path

import pytest

from shared.domain.emitters import read_emitters
from shared.domain.errors import Misconfigured
from shared.domain.rights import Right
from shared.domain.user_events import NUMBERS, TYPES

ASKING = 'types = ["user.requested"]\nrights = ["access"]\n'
NUMBERED = 'types = ["number.assigned"]\nauthoritative = "crm"\n'


def test_the_file_that_ships_lets_every_type_be_said_by_one_of_its_emitters() -> None:
    emitters = read_emitters()
    assert {kind for kind in TYPES if any(each.may_say(kind) for each in emitters.values())} == set(TYPES)
    assert [name for name, each in emitters.items() if any(map(each.may_say, NUMBERS))] == ["numbering"]


def test_an_emitter_asks_for_the_rights_that_are_written_and_no_other(tmp_path: Path) -> None:
    emitter = read_emitters(_written(tmp_path, f"[shop]\n{ASKING}"))["shop"]
    assert [right for right in Right if emitter.may_say(f"user.requested.{right}")] == [Right.ACCESS]
    assert not emitter.may_say("user.requested")
    assert not emitter.may_say("user.account_closed")


def _written(tmp_path: Path, content: str) -> Path:
    path = tmp_path / "emitters.toml"
    path.write_text(content)
    return path


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('[shop]\ntypes = ["user.request"]\n', "shop: types names 'user.request': did you mean user.requested?"),
        (f"[shop]\n{ASKING}levle = 'L1'\n", ":4: shop.levle: is no key here; write level"),
        (f"[shop]\n{ASKING}level = 'L7'\n", "shop.level: holds 'L7': Input should be 'L0', 'L1', 'L2' or 'L3'"),
        ('[shop]\ntypes = ["user.requested"]\n', 'shop: rights belong to "user.requested"'),
        ('[shop]\ntypes = ["user.account_closed"]\nrights = ["access"]\n', 'shop: rights belong to "user.requested"'),
        ('[shop]\ntypes = ["number.ported"]\n', "shop: authoritative belongs to number.assigned, "),
        (f'[shop]\n{ASKING}authoritative = "crm"\n', "shop: authoritative belongs to number.assigned, "),
        ('[shop]\ntypes = ["user.account_closed"]\ntenant = "acme"\n', "shop: a tenant's emitter only asks"),
        (f"[a]\n{NUMBERED}[b]\n{NUMBERED}", "a and b are both authoritative: one emitter says whose a number is"),
        (f"[Shop]\n{ASKING}", "Shop"),
        ("[shop]\n", "shop.types: is missing; write it"),
        ("shop = 1\n", "shop: holds 1: Input should be"),
    ],
)
def test_what_is_wrong_in_the_file_is_said_with_its_place_and_the_mend(tmp_path: Path, content: str, said: str) -> None:
    with pytest.raises(Misconfigured) as error:
        read_emitters(_written(tmp_path, content))
    assert said in str(error.value)


def test_every_mistake_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"one.types: .*; .*two: "):
        read_emitters(_written(tmp_path, '[one]\ntypes = []\n[two]\ntypes = ["x"]\n'))
