"""Actions about how a request is answered, and whether it still is to be (Art. 12(4), 12(5), 21(1))."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

import orjson

from services.intake.actions import approvals
from services.intake.actions.action import Action, ActionContext, Options, always_two, plain_options
from services.intake.actions.bodies import Answer, Balancing, EndedPart, Nothing
from services.intake.request import deferrals
from services.intake.request.aggregate import Request, Transition
from services.intake.request.letter_kinds import LetterField
from services.intake.request.lifecycle import State
from services.intake.request.reasons import Answering, Proposed
from services.intake.store import other_requests
from shared.domain.errors import IllegalTransition
from shared.domain.languages import ENGLISH
from shared.domain.notices import Reader
from shared.domain.operations import ANSWERING, TaskReport
from shared.domain.sentences import Fact, Term, article, say
from shared.messaging.unit_of_work import UnitOfWork

_ANSWERS: Final[Mapping[str, Answering]] = {"refuse": "refuse", "answer-in-part": "answer_in_part"}
_OWED = frozenset({"12(3)", "12(4)"})
"""Articles that ask us to say what is missing and why, and allow nothing to be left out."""
_CONCLUDED = """
SELECT detail FROM evidence.entry WHERE request_id = $1 AND action = 'task.concluded' ORDER BY at, chain, seq
"""


async def words(tx: UnitOfWork, request: Request) -> dict[str, LetterField]:
    """Returns the letter's facts about the approved answer; empty if no person has decided."""
    found = await approvals.last_approved(tx, request.request_id, [*_ANSWERS])
    content = await tx.vault.open_one(tx.connection, found[1]) if found else None
    return _words(tx, request, _ANSWERS[found[0]], Answer.model_validate_json(content)) if found and content else {}


def _words(tx: UnitOfWork, request: Request, decision: Proposed, body: Answer) -> dict[str, LetterField]:
    # A reason that has left the policy meanwhile is still the one that two people gave.
    reason, by = Term(f"reason.{decision}", body.reason), article(body.article)
    law = say("letter.law", article=by)
    if body.article in _OWED:
        law = say("letter.owed")
        if request.due_on >= tx.now.date():
            law = say("letter.owed_by", day=request.due_on)
    return {"reason": reason, "article": by, "law": law, "explanation": body.explanation}


async def forget(tx: UnitOfWork, request: Request) -> None:
    """Lets an approved answer count no more: the request goes on, or is answered without it."""
    await approvals.forget(tx, request.request_id, *_ANSWERS)


def _answering(decision: Answering) -> Callable[[ActionContext, Answer], Awaitable[Transition]]:
    async def answer(context: ActionContext, body: Answer) -> Transition:
        """Answers it so as soon as it is known what is done; raises ``BadRequest`` for a reason that does not hold."""
        request = context.request
        request.must_not_wait_for_weighing()
        request.must_allow_to(decision)
        owed = context.use_cases.reasons.judged(decision, body.reason, body.article, request.right).owed
        return request.decide(decision, body.reason, body.article, context.first or "", context.tx.now, owed=owed)

    return answer


async def _end_part(context: ActionContext, body: EndedPart) -> Transition:
    request = context.request
    request.must_not_wait_for_weighing()
    request.out_of_reach(body.system)
    context.use_cases.reasons.judged("end_part", body.reason, body.article, request.right)
    words = _words(context.tx, request, "end_part", body)
    return request.end_part(body.system, body.reason, body.article, context.first or "", words)


async def _weigh(context: ActionContext, body: Balancing) -> Transition:
    if not context.request.is_weighed:
        raise IllegalTransition("only an objection to what is done for legitimate interests is weighed")
    return context.request.weigh(body.finding, body.explanation, context.first or "", context.tx.now)


async def _retry(context: ActionContext, _: Nothing) -> Transition:
    context.request.must_not_wait_for_weighing()
    context.request.must_have_begun()
    return context.request.retry()


async def _awaited(context: ActionContext) -> list[str]:
    request_id = context.request.request_id
    awaits = (await other_requests.waits_of(context.tx.connection, [request_id])).get(request_id, [])
    return sorted(map(str, awaits))


async def _waits_for(context: ActionContext, _: Nothing) -> str:
    """Names the requests that it waits for: another one voids the approval."""
    return " ".join([str(context.request.postponed), *await _awaited(context)])


async def _override(context: ActionContext, _: Nothing) -> Transition:
    if context.request.opposed:
        raise IllegalTransition("the person has had data restricted: lift or withdraw the restriction first")
    return context.request.begin("decided")


async def _withdraw(context: ActionContext, _: Nothing) -> Transition:
    """Closes it; the letter says what had been done already."""
    known = {task.task_id: task for task in context.request.tasks or ()}
    for (detail,) in await context.tx.connection.fetch(_CONCLUDED, context.request.request_id):
        content = orjson.loads(detail)
        if (content.get("outcome") or content.get("changed")) and content["operation"] in ANSWERING:
            report = TaskReport.model_validate({"outcome": None, **content})
            known[report.task_id] = report
    return replace(context.request, tasks=tuple(known.values()) or context.request.tasks).withdraw(context.tx.now)


def read_as(context: ActionContext, fact: Fact) -> str:
    """Returns a fact as a member of staff reads it."""
    zone = context.tx.policy.controller.zone
    return context.use_cases.letters.words(fact, Reader(ENGLISH, zone, None))


def _reasons(decision: Proposed, context: ActionContext) -> Options:
    """Yields the policy's reasons for this right, with the articles by which each holds."""
    known = context.use_cases.reasons.of(decision).items()
    mine = [(code, each) for code, each in known if context.request.right in each.rights]
    return [
        (code, f"{read_as(context, Term(f'reason.{decision}', code))} (Art. {', '.join(each.articles)})")
        for code, each in mine
    ]


def _articles(decision: Proposed, context: ActionContext) -> Options:
    known = context.use_cases.reasons.of(decision).values()
    mine = sorted({by for each in known if context.request.right in each.rights for by in each.articles})
    return [(each, f"Art. {each}") for each in mine]


def _retired(context: ActionContext) -> Options:
    return plain_options(
        *sorted({task.system for task in context.request.tasks or () if task.failure == "system_retired"})
    )


def _may_decide(context: ActionContext) -> bool:
    return context.request.allows("decide") and context.request.role != "processor"


def _may_retry(context: ActionContext) -> bool:
    request = context.request
    missing = request.unsearched or any(map(deferrals.is_undone, request.tasks or ()))
    return missing and not request.postponed and (request.allows("retry") or request.may_be_done_later)


def _answer(
    decision: Proposed,
    apply: Callable[[ActionContext, Any], Awaitable[Transition]],
    may: Callable[[ActionContext], bool],
    **more: Any,
) -> Action:
    """Returns an action that answers a request, or a part of it, for a reason of the policy."""
    fields: dict[str, Any] = {"body": Answer, "shows": ("reason", "article"), **more}
    choices = {"reason": partial(_reasons, decision), "article": partial(_articles, decision)}
    fields["choices"] = {**choices, **fields.get("choices", {})}
    always: dict[str, Any] = {"second": always_two, "proposed": "decision.proposed", "final": True}
    return Action(f"requests/{decision.replace('_', '-')}", apply, may, **always, **fields)


ACTIONS: Final[Sequence[Action]] = (
    _answer("refuse", _answering("refuse"), _may_decide),
    _answer("answer_in_part", _answering("answer_in_part"), _may_decide),
    _answer(
        "end_part",
        _end_part,
        lambda context: bool(_retired(context)),
        body=EndedPart,
        choices={"system": _retired},
        shows=("system", "reason", "article"),
        target=("system",),
    ),
    Action(
        "requests/weigh",
        _weigh,
        lambda context: context.request.is_weighed and context.request.state is State.AWAITING_DECISION,
        Balancing,
        second=always_two,
        shows=("finding",),
        proposed="objection.finding_proposed",
        final=True,
    ),
    Action("requests/retry", _retry, _may_retry),
    Action(
        "requests/override-wait",
        _override,
        lambda context: context.request.postponed and not context.request.opposed,
        second=always_two,
        about=_waits_for,
        proposed="erasure.begin_proposed",
        final=True,
    ),
    Action(
        "requests/withdraw", _withdraw, lambda context: context.request.allows("withdraw"), channel=True, final=True
    ),
)
