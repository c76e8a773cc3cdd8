"""Which of the parties that a search returned are proven to be the subject.

Nothing is ever done to a party that is not. In the order of their weight:

- The customer number decides. If the CRM itself gave it earlier (``locate``), or it is proved to be theirs (REQ-S1), it
  decides alone: whoever has shown the account may well write from an address that is not on file. If it is only stated,
  some e-mail address or number must agree, unless the subject or the party has none. Others who share one are left
  alone. Account ids of other systems mean nothing here.
- Without one, a single party that holds the e-mail address is the subject; a single party that holds only the number
  is, unless its e-mail addresses differ from the subject's: numbers are shared and re-assigned.
- If several parties hold an address or number, only the one that holds one of every kind that the subject gave.

A number, or a SIP address, counts while it is assigned: an identity with a period needs a period that overlaps, one
without needs a number that is still assigned. A former holder is nobody's match. One that was not assigned to a party,
such as a customer's number with another carrier, counts where it is written down as their contact. An address that was
corrected is no match: it may always have been somebody else's; nor is an address, or a contact, by what was the
subject's until a day, for it is somebody else's since. Whatever is left over is a ``ForeignHit``.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from shared.domain.errors import ForeignHit, SeveralPeople
from shared.domain.identities import Identity, IdentityType
from shared.domain.levels import NOTHING
from shared.downstreams.tryton.party import Contact, NumberAssignment, Party


def proven(system: str, identities: Sequence[Identity], hits: Iterable[Party]) -> tuple[Party, ...]:
    """The parties that are the subject's.

    Raises:
        ForeignHit: the hits could be somebody else's.
    """
    accounts = [i for i in identities if i.type is IdentityType.ACCOUNT_ID and i.source in {"requester", system}]
    codes = {i.value for i in accounts}
    certain = {i.value for i in accounts if i.source == system or i.level > NOTHING}
    compared = [_compare(party, identities) for party in hits]
    by_code = [c for c in compared if c.party.code in codes]
    doubtful = [c for c in by_code if c.contradicted and c.party.code not in certain]
    holders = [c for c in compared if c.agrees]
    full_holders = [c for c in holders if c.agrees_in_all]
    match by_code, doubtful, holders, full_holders:
        case [_, *_], [], _, _:
            return tuple(c.party for c in by_code)
        case [_, *_], _, _, _:
            raise ForeignHit("the customer number belongs to a party with other addresses and numbers")
        case [], _, [], _:
            return ()
        case [], _, _, _ if codes:
            raise ForeignHit("no party has the customer number, and another holds an address or number of theirs")
        case ([], _, [only], _) | ([], _, _, [only]):
            if not only.email and only.email_differs:
                raise ForeignHit("a party with other e-mail addresses holds a number of the subject's")
            return (only.party,)
        case _:
            raise SeveralPeople("several parties hold an address or number of the subject's, and none holds all alone")


@dataclass(frozen=True, slots=True)
class _Compared:
    """A party beside the subject's identities: whether it holds one of each kind, or only others of that kind."""

    party: Party
    email: bool
    email_differs: bool
    agrees: bool
    agrees_in_all: bool
    contradicted: bool


def _compare(party: Party, identities: Sequence[Identity]) -> _Compared:
    kinds = (IdentityType.EMAIL, IdentityType.PHONE, IdentityType.SIP_URI)
    past = {i for i in identities if i.type is IdentityType.EMAIL and i.valid_to is not None}
    wanted = {kind: [i for i in identities if i.type is kind and i not in past] for kind in kinds}
    held = {
        kind: [c for c in party.contacts if c.type is kind and not party.is_former(c)]
        + [a for a in party.assignments if a.type is kind]
        for kind in kinds
    }
    same = {kind: any(_holds(party, held[kind], i) for i in wanted[kind]) for kind in kinds}
    differs = {kind: bool(wanted[kind] and held[kind]) and not same[kind] for kind in kinds}
    agrees = any(same.values())
    return _Compared(
        party=party,
        email=same[IdentityType.EMAIL],
        email_differs=differs[IdentityType.EMAIL],
        agrees=agrees,
        agrees_in_all=agrees and all(same[kind] or not wanted[kind] for kind in kinds),
        contradicted=not agrees and any(differs.values()),
    )


def _holds(party: Party, held: Sequence[Contact | NumberAssignment], identity: Identity) -> bool:
    if assigned := party.assigned(identity.type, identity.value):
        return any(_at_that_time(each, identity) for each in assigned)
    return identity.valid_to is None and any(each.spelled == identity.value for each in held)


def _at_that_time(assigned: NumberAssignment, identity: Identity) -> bool:
    if identity.valid_from is None and identity.valid_to is None:
        return assigned.valid_to is None
    begins_in_time = identity.valid_to is None or assigned.valid_from < identity.valid_to
    ends_in_time = assigned.valid_to is None or identity.valid_from is None or identity.valid_from < assigned.valid_to
    return begins_in_time and ends_in_time
