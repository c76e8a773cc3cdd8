"""Actions about letters that are delivered, mail that was received, and digests for recipients."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from services.intake.actions.action import Action, Held, Options, Pairs
from services.intake.actions.stopped import of_row
from services.intake.delivery import handling
from services.intake.delivery.handling import AnotherWay, GivenUp
from services.intake.letters import delivery
from services.intake.mail import inbox
from services.intake.mail.use_cases import Dismissed
from services.intake.recipients import digests
from services.intake.recipients.digests import RecipientReply
from services.intake.store import repository
from services.intake.submission.entered import Entered


def _for_a_person(held: Held) -> bool:
    return bool(held.row.state == "needs_attention")


def _ways(held: Held) -> Options:
    on_paper = [] if held.row.kind in delivery.BY_ADDRESS else [("post", "on paper")]
    return [("email", "by e-mail"), *on_paper]


def _where_it_goes(held: Held) -> Sequence[str]:
    if held.row.kind in delivery.BY_ADDRESS:
        return ["It goes once more to the address that it was written for, and nowhere else."]
    return [
        "By e-mail it goes once more, to an address that is proved; on paper to the address of record.",
        "Enter that address with its request first, if there is none.",
    ]


def _ends(held: Held) -> Sequence[str]:
    awaited = {str(each["what"]) for each in held.row.awaited}
    means = ["It is not delivered any more; what was tried stays on record."]
    if "answer" in awaited:
        means.append("The answer counts as given from now on.")
    if "question" in awaited:
        means.append("You can ask again who they are; what they mean stays open until an answer is entered.")
    if "lift" in awaited:
        means.append("The restriction that it was to lift stays, since the person was not informed (Art. 18(3)).")
    return means


async def _of_letter(held: Held) -> Pairs:
    letter = held.row
    other = letter.kind in delivery.TO_STRANGERS
    facts = [("For", "another person, named in the letter" if other else "the requester"), ("Way", letter.way)]
    means = " ".join(delivery.why(letter.state, letter.awaited))
    return [*facts, *([("Until it is delivered", means)] if means else [])]


async def _became(held: Held) -> Sequence[UUID]:
    if held.row.state != "confirmed":
        return ()
    request = await repository.read(held.tx.connection, held.row.request_id)
    case_id = request.case_id if request else None
    together = await repository.read_case(held.tx.connection, case_id) if case_id else []
    return [each.request_id for each in together] or [held.row.request_id]


def _is_open(held: Held) -> bool:
    return held.row.state in {"proposed", "reply"}


LETTERS: Final = of_row(
    "letters",
    lambda tx, key: handling.read(tx.connection, UUID(key)),
    lambda row: str(row.state),
    Action(
        "letters/mark-posted",
        lambda held, _: handling.posted(held.tx, held.means.letters, held.row, held.caller.actor),
        lambda held: held.row.way == "post" and held.row.state == "waiting",
        reads=_of_letter,
        final=True,
    ),
    Action(
        "letters/deliver",
        lambda held, said: handling.deliver(held.tx, held.row, said, held.caller.actor),
        _for_a_person,
        AnotherWay,
        effects=_where_it_goes,
        choices={"way": _ways},
        reads=_of_letter,
    ),
    Action(
        "letters/give-up",
        lambda held, said: handling.give_up(held.tx, held.means.letters, held.row, said, held.caller.actor),
        _for_a_person,
        GivenUp,
        effects=_ends,
        reads=_of_letter,
        final=True,
    ),
    titled=lambda held: f"Letter: {held.row.kind.replace('_', ' ')}",
)
CONFIRM: Final = Action(
    "mail/confirm",
    lambda held, said: held.means.mail.confirm(held.tx, held.row.mail_id, said, held.caller),
    _is_open,
    Entered,
)
DISMISS: Final = Action(
    "mail/dismiss",
    lambda held, said: held.means.mail.dismiss(held.tx, held.row.mail_id, said, held.caller),
    _is_open,
    Dismissed,
    final=True,
)
MAIL: Final = of_row(
    "mail",
    lambda tx, key: inbox.find(tx.connection, UUID(key)),
    lambda row: str(row.state),
    CONFIRM,
    DISMISS,
    titled=lambda _: "A mail",
    became=_became,
)
DIGESTS: Final = of_row(
    "recipient-digests",
    lambda tx, key: digests.find(tx.connection, UUID(key)),
    lambda row: "sent" if row.notified_at else "waiting",
    Action(
        "recipient-digests/record-reply",
        lambda held, said: digests.record_reply(held.tx, held.row, said.reply, held.caller),
        lambda held: held.row.notified_at is not None,
        RecipientReply,
    ),
    titled=lambda held: f"Digest for {held.row.recipient}",
)
KINDS: Final = (LETTERS, MAIL, DIGESTS)
