"""The files of the policy: seven of a folder, each with another of the same name over it where a company has it."""

from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, Field

from shared.domain.errors import Fault, Misconfigured, all_of
from shared.domain.holds import HoldPolicy
from shared.domain.policy.categories import Category, Data, Other, Purpose, Redaction, Words
from shared.domain.policy.parties import Authority, Called, Controller, Law, Officer, Recipient
from shared.domain.policy.policy import Part, Policy
from shared.domain.policy.rules import Ceiling, Jurisdiction, NoticeRow, PartSignOff, Rule
from shared.domain.policy_files import AnswerReasons, SuppressionPolicy, SweepPolicy
from shared.domain.proofs import IdentityPolicy
from shared.domain.text import Word
from shared.domain.toml_file import content_of, fault_at, read_toml, read_with_ours

SHIPPED: Final = Path(__file__).parents[2] / "policy" / "processing"
"""The unsigned policy as shipped."""
_POLICY: Final = Path(__file__).parents[2] / "policy"

OVERLAY: Final = "DSR_POLICY_OVERLAY"
"""The variable that names the folder of the company's own files."""


class _Categories(Data):
    purposes: Mapping[Word, Purpose]
    categories: Annotated[Mapping[Word, Category], Field(min_length=1)]


class _Retention(Data):
    states: Mapping[Word, Words]
    anchors: Mapping[Word, Words]
    rules: Mapping[Word, Rule]
    ceilings: Mapping[Word, Ceiling]
    notice: Mapping[Word, NoticeRow]


class _Parties(Data):
    controller: Controller
    officer: Officer
    recipients: Mapping[Word, Recipient] = {}


class _Authorities(Data):
    laws: Mapping[Word, Law]
    anywhere: Authority
    authorities: Mapping[Jurisdiction, Authority]


class _Redaction(Data):
    redaction: Mapping[Other, Redaction]


class _Systems(Data):
    systems: Mapping[Word, Called]


class _SignOffs(Data):
    sign_offs: Mapping[Part, PartSignOff] = {}


_Content = Mapping[str, Any]
OTHER_FILES: Final[Mapping[str, type[BaseModel]]] = {
    "identity.toml": IdentityPolicy,
    "holds.toml": HoldPolicy,
    "suppression.toml": SuppressionPolicy,
    "sweep.toml": SweepPolicy,
    "answers.toml": AnswerReasons,
}
"""Further files of the policy."""

FILES: Final[Mapping[str, type[BaseModel]]] = {
    "categories.toml": _Categories,
    "retention.toml": _Retention,
    "parties.toml": _Parties,
    "authorities.toml": _Authorities,
    "redaction.toml": _Redaction,
    "systems.toml": _Systems,
    "sign_offs.toml": _SignOffs,
}


@cache
def read_policy(over: Path | None = None, shipped: Path = SHIPPED) -> Policy:
    """The policy as shipped, with the company's own files ``over`` it: their keys go over, table by table.

    Raises:
        Misconfigured: a file cannot be used, or two parts do not agree; names file, line, key and what to write.
    """
    if over:
        _only_ours(over)
    parts = all_of([partial(read_toml, shipped / name, model, over and over / name) for name, model in FILES.items()])
    other_files = {name: _other_file(name, over) for name in OTHER_FILES}
    known = {field: getattr(part, field) for part in parts for field in type(part).model_fields}
    policy = Policy(**known, other_files=other_files, overlay=over)
    if wrong := list(policy.disagreements()):
        raise Misconfigured(*(_fault(over, shipped, place, says) for place, says in wrong))
    return policy


def says_as_shipped(policy: Policy, table: Literal["purposes", "categories", "rules", "ceilings"], name: str) -> bool:
    """Whether a part of the policy has the words that were shipped, which we have in other languages too."""
    current, shipped = getattr(policy, table)[name], getattr(read_policy(), table).get(name)
    same = shipped is not None and shipped.words == current.words
    return same and (not isinstance(current, Ceiling) or shipped.period == current.period)


def _other_file(name: str, over: Path | None) -> _Content:
    """Returns the content of such a file after validation."""
    read_with_ours(_POLICY / name, OTHER_FILES[name], over)
    return read_with_ours(_POLICY / name, dict[str, Any], over)


def _only_ours(over: Path) -> None:
    if not over.is_dir():
        raise Misconfigured(Fault("is no folder: name one that holds files of the policy", str(over)))
    if strange := sorted(each.name for each in over.glob("*.toml") if each.name not in {*FILES, *OTHER_FILES}):
        known = ", ".join((*FILES, *OTHER_FILES))
        raise Misconfigured(Fault(f"is no file of the policy; they are {known}", str(over / strange[0])))


def _fault(over: Path | None, shipped: Path, place: tuple[str, ...], says: str) -> Fault:
    name = next(name for name, model in FILES.items() if place[0] in model.model_fields)
    files = [folder / name for folder in (over, shipped) if folder]
    return fault_at([(file, content_of(file)) for file in files], place, says)
