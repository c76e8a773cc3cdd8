"""Actions about letters that are delivered, mail that was received, and digests for recipients."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from services.intake.actions.action import Action, ActionContext, Options, Pairs
from services.intake.actions.stopped import of_row
from services.intake.delivery import manual
from services.intake.delivery.manual import AnotherWay, GivenUp
from services.intake.letters import delivery_queue
from services.intake.mail import inbox
from services.intake.mail.use_cases import Dismissed
from services.intake.recipients import digests
from services.intake.recipients.digests import RecipientReply
from services.intake.store import repository
from services.intake.submission.manual_entry import Entered


def _needs_attention(context: ActionContext) -> bool:
    return bool(context.row.state == "needs_attention")


def _ways(context: ActionContext) -> Options:
    on_paper = [] if context.row.kind in delivery_queue.OWN_ADDRESS else [("post", "on paper")]
    return [("email", "by e-mail"), *on_paper]


def _address_fact(context: ActionContext) -> Sequence[str]:
    if context.row.kind in delivery_queue.OWN_ADDRESS:
        return ["It goes once more to the address that it was written for, and nowhere else."]
    return [
        "By e-mail it goes once more, to an address that is proved; on paper to the address of record.",
        "Enter that address with its request first, if there is none.",
    ]


def _ends(context: ActionContext) -> Sequence[str]:
    awaited = {str(each["what"]) for each in context.row.awaited}
    use_cases = ["It is not delivered any more; what was tried stays on record."]
    if "answer" in awaited:
        use_cases.append("The answer counts as given from now on.")
    if "question" in awaited:
        use_cases.append("You can ask again who they are; what they mean stays open until an answer is entered.")
    if "lift" in awaited:
        use_cases.append("The restriction that it was to lift stays, since the person was not informed (Art. 18(3)).")
    return use_cases


async def _of_letter(context: ActionContext) -> Pairs:
    letter = context.row
    other = letter.kind in delivery_queue.TO_THIRD_PARTIES
    facts = [("For", "another person, named in the letter" if other else "the requester"), ("Way", letter.way)]
    use_cases = " ".join(delivery_queue.pending_effects(letter.state, letter.awaited))
    return [*facts, *([("Until it is delivered", use_cases)] if use_cases else [])]


async def _resulting_requests(context: ActionContext) -> Sequence[UUID]:
    if context.row.state != "confirmed":
        return ()
    request = await repository.read(context.tx.connection, context.row.request_id)
    case_id = request.case_id if request else None
    together = await repository.read_case(context.tx.connection, case_id) if case_id else []
    return [each.request_id for each in together] or [context.row.request_id]


def _is_open(context: ActionContext) -> bool:
    return context.row.state in {"proposed", "reply"}


LETTERS: Final = of_row(
    "letters",
    lambda tx, key: manual.find_delivery(tx.connection, UUID(key)),
    lambda row: str(row.state),
    Action(
        "letters/mark-posted",
        lambda context, _: manual.mark_posted(context.tx, context.use_cases.letters, context.row, context.caller.actor),
        lambda context: context.row.way == "post" and context.row.state == "waiting",
        reads=_of_letter,
        final=True,
    ),
    Action(
        "letters/deliver",
        lambda context, body: manual.redeliver(context.tx, context.row, body, context.caller.actor),
        _needs_attention,
        AnotherWay,
        effects=_address_fact,
        choices={"way": _ways},
        reads=_of_letter,
    ),
    Action(
        "letters/give-up",
        lambda context, body: manual.give_up(
            context.tx, context.use_cases.letters, context.row, body, context.caller.actor
        ),
        _needs_attention,
        GivenUp,
        effects=_ends,
        reads=_of_letter,
        final=True,
    ),
    title_of=lambda context: f"Letter: {context.row.kind.replace('_', ' ')}",
)
CONFIRM: Final = Action(
    "mail/confirm",
    lambda context, body: context.use_cases.mail.confirm(context.tx, context.row.mail_id, body, context.caller),
    _is_open,
    Entered,
)
DISMISS: Final = Action(
    "mail/dismiss",
    lambda context, body: context.use_cases.mail.dismiss(context.tx, context.row.mail_id, body, context.caller),
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
    title_of=lambda _: "A mail",
    resulting_requests=_resulting_requests,
)
DIGESTS: Final = of_row(
    "recipient-digests",
    lambda tx, key: digests.find(tx.connection, UUID(key)),
    lambda row: "sent" if row.notified_at else "waiting",
    Action(
        "recipient-digests/record-reply",
        lambda context, body: digests.record_reply(context.tx, context.row, body.reply, context.caller),
        lambda context: context.row.notified_at is not None,
        RecipientReply,
    ),
    title_of=lambda context: f"Digest for {context.row.recipient}",
)
KINDS: Final = (LETTERS, MAIL, DIGESTS)
