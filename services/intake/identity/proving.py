"""Derives the level of each identity from the method of proof, and from nothing that a channel claims."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import NamedTuple

from pydantic import JsonValue

from services.intake.access.grant import Grant
from services.intake.core.errors import BadRequest
from services.intake.core.instants import Instants
from services.intake.core.schemas import Assurance, IdentityProof
from shared.domain.identities import Identity, IdentityType
from shared.domain.proofs import POLICY, IdentityPolicy, Method, ProofPolicy, proved_alone, raised, two_contact_points
from shared.domain.rights import NOTHING, Level, less
from shared.domain.toml_file import read_with_ours


@cache
def identity_policy(overlay: Path | None = None) -> IdentityPolicy:
    """The policy as shipped with the company's own in that folder over it; ``Misconfigured`` if it cannot be used."""
    return read_with_ours(POLICY, IdentityPolicy, overlay)


class ProofOfIdentity(NamedTuple):
    """The proof of one identity by one method; ``since``: from when on it is theirs, as far as that is proved."""

    type: IdentityType
    value: str
    method: str
    level: Level
    since: datetime
    together: bool = False


@dataclass(frozen=True, slots=True)
class Proved:
    """The identities, each with the level to which it is proved, and what the evidence says of it."""

    identities: tuple[Identity, ...]
    evidence: tuple[dict[str, JsonValue], ...] = ()


@dataclass(frozen=True, slots=True)
class ProofEvaluator:
    """Turns a statement of proof into levels."""

    policy: ProofPolicy
    instants: Instants

    def prove(
        self,
        stated: Sequence[Identity],
        assurance: Assurance | None,
        proofs: Sequence[IdentityProof],
        grant: Grant,
        now: datetime,
        before: Sequence[Identity] = (),
    ) -> Proved:
        """Adds new proofs to stated identities; earlier proofs stay.

        ``before``: what else the requester has stated, as well as that is proved.

        An e-mail address and a number that are proved separately prove more together, if the register confirms it.

        Raises ``BadRequest``, ``Forbidden``.
        """
        if assurance:
            grant.must_state(assurance.level)
        found = [*self._in_short(stated, assurance, grant, now)]
        for place, stated_proofs in enumerate(proofs):
            found.append(self._listed(stated, stated_proofs, f"proofs.{place}", grant, now))
            grant.must_state(found[-1].level)
        known = [_with_levels(identity, found) for identity in stated]
        if two_contact_points((*before, *known)):
            alone = proved_alone((*before, *known))
            known = [raised(each, grant.level, alone=alone) for each in known]
        said_of = dict.fromkeys((proof.type, proof.method, proof.level) for proof in found)
        return Proved(tuple(known), tuple({"type": t, "method": m, "level": level} for t, m, level in said_of))

    def _in_short(
        self, stated: Sequence[Identity], assurance: Assurance | None, grant: Grant, now: datetime
    ) -> list[ProofOfIdentity]:
        """Returns all that is stated and that the method can prove; of several numbers none, as it is unclear which."""
        if assurance is None:
            return []
        method = self._method(assurance.method, "assurance.method", grant)
        level = min(assurance.level, method.level)
        one_number = len({each.value for each in stated if each.type is IdentityType.PHONE}) == 1
        return [
            ProofOfIdentity(each.type, each.value, assurance.method, level, now, method.together)
            for each in stated
            if each.type in method.proves and (each.type is not IdentityType.PHONE or one_number)
        ]

    def _listed(
        self, stated: Sequence[Identity], said: IdentityProof, place: str, grant: Grant, now: datetime
    ) -> ProofOfIdentity:
        method = self._method(said.method, f"{place}.method", grant)
        identity = named(stated, said.identity)
        if identity is None:
            raise BadRequest("no such identity is stated: name a field of subject that is filled", f"{place}.identity")
        if identity.type not in method.proves:
            proves = " and ".join(sorted(method.proves))
            raise BadRequest(f"{said.method} proves {proves}, and not {identity.type}", f"{place}.method")
        proved_at = self.instants.happened(said.proved_at, now, f"{place}.proved_at")
        since = said.on_file_since or proved_at
        if since > proved_at:
            raise BadRequest(
                "on_file_since lies after it was proved; give the time from which it was on file",
                f"{place}.on_file_since",
            )
        if now - proved_at > timedelta(days=self.policy.proof_days):
            oldest = f"older than {self.policy.proof_days} days, and shows nothing of today: have it proved again"
            raise BadRequest(oldest, f"{place}.proved_at")
        fresh = method.of_record and proved_at - since < timedelta(days=self.policy.on_file_days)
        level = less(method.level) if fresh else method.level
        return ProofOfIdentity(identity.type, identity.value, said.method, level, since, method.together)

    def _method(self, name: str, field: str, grant: Grant) -> Method:
        """Returns a method of the policy that the caller may state: what stays in the evidence is no free text."""
        method = self.policy.methods.get(name)
        if method is None or (grant.by_hand and not method.by_hand):
            known = (each for each, method in self.policy.methods.items() if method.by_hand or not grant.by_hand)
            whose = "a person enters one of these methods" if grant.by_hand else "the method is one of these"
            raise BadRequest(f"{whose}: {', '.join(sorted(known))}", field)
        return method


def _with_levels(identity: Identity, proofs: Sequence[ProofOfIdentity]) -> Identity:
    """The identity as well as it is proved."""
    own_proofs = [proof for proof in proofs if (proof.type, proof.value) == (identity.type, identity.value)]
    if not own_proofs:
        return identity
    level, together = identity.level, identity.together
    for proof in own_proofs:
        if proof.level > level:
            level, together = proof.level, proof.together
        elif proof.level == level:
            together = together and proof.together
    since = (
        [proof.since for proof in own_proofs if proof.level > NOTHING] if identity.type is IdentityType.PHONE else []
    )
    if since and identity.proved_since:
        since.append(identity.proved_since)
    return replace(identity, level=level, together=together, proved_since=min(since, default=identity.proved_since))


_LISTED = {"phones": IdentityType.PHONE, "sip_uris": IdentityType.SIP_URI}
"""The fields that hold several."""


def named(stated: Sequence[Identity], field: str) -> Identity | None:
    """The identity of that field; of a number, by its place among those that differ."""
    name, _, place = field.partition(".")
    kind = _LISTED.get(name) or IdentityType(name)
    found = [each for each in stated if each.type is kind]
    number = int(place or 0)
    return found[number] if number < len(found) else None
