"""Actions about how a request is answered, and whether it still is to be (Art. 12(4), 12(5), 21(1))."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

import orjson

from services.intake.actions import approvals
from services.intake.actions.action import Action, Held, Options, by_two, plain
from services.intake.actions.bodies import Answer, Balancing, EndedPart, Nothing
from services.intake.request import deferrals
from services.intake.request.aggregate import Request, Transition
from services.intake.request.letter_kinds import LetterField
from services.intake.request.lifecycle import State
from services.intake.request.reasons import Answering, Proposed
from services.intake.store import other_requests
from shared.domain.errors import IllegalTransition
from shared.domain.notices import Reader
from shared.domain.operations import ANSWERING, TaskReport
from shared.domain.sentences import Fact, Term, article, say
from shared.domain.wording import ENGLISH
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


def _words(tx: UnitOfWork, request: Request, decision: Proposed, said: Answer) -> dict[str, LetterField]:
    # A reason that has left the policy meanwhile is still the one that two people gave.
    reason, by = Term(f"reason.{decision}", said.reason), article(said.article)
    law = say("letter.law", article=by)
    if said.article in _OWED:
        law = say("letter.owed")
        if request.due_on >= tx.now.date():
            law = say("letter.owed_by", day=request.due_on)
    return {"reason": reason, "article": by, "law": law, "explanation": said.explanation}


async def forget(tx: UnitOfWork, request: Request) -> None:
    """Lets an approved answer count no more: the request goes on, or is answered without it."""
    await approvals.forget(tx, request.request_id, *_ANSWERS)


def _answering(decision: Answering) -> Callable[[Held, Answer], Awaitable[Transition]]:
    async def answer(held: Held, said: Answer) -> Transition:
        """Answers it so as soon as it is known what is done; raises ``BadRequest`` for a reason that does not hold."""
        request = held.request
        request.must_not_wait_for_weighing()
        request.must_allow_to(decision)
        owed = held.means.reasons.judged(decision, said.reason, said.article, request.right).owed
        return request.decide(decision, said.reason, said.article, held.first or "", held.tx.now, owed=owed)

    return answer


async def _end_part(held: Held, said: EndedPart) -> Transition:
    request = held.request
    request.must_not_wait_for_weighing()
    request.out_of_reach(said.system)
    held.means.reasons.judged("end_part", said.reason, said.article, request.right)
    words = _words(held.tx, request, "end_part", said)
    return request.end_part(said.system, said.reason, said.article, held.first or "", words)


async def _weigh(held: Held, said: Balancing) -> Transition:
    if not held.request.is_weighed:
        raise IllegalTransition("only an objection to what is done for legitimate interests is weighed")
    return held.request.weigh(said.finding, said.explanation, held.first or "", held.tx.now)


async def _retry(held: Held, _: Nothing) -> Transition:
    held.request.must_not_wait_for_weighing()
    held.request.must_have_begun()
    return held.request.retry()


async def _awaited(held: Held) -> list[str]:
    request_id = held.request.request_id
    awaits = (await other_requests.awaited_by(held.tx.connection, [request_id])).get(request_id, [])
    return sorted(map(str, awaits))


async def _waits_for(held: Held, _: Nothing) -> str:
    """Names the requests that it waits for: another one voids the approval."""
    return " ".join([str(held.request.postponed), *await _awaited(held)])


async def _override(held: Held, _: Nothing) -> Transition:
    if held.request.opposed:
        raise IllegalTransition("the person has had data restricted: lift or withdraw the restriction first")
    return held.request.begin("decided")


async def _withdraw(held: Held, _: Nothing) -> Transition:
    """Closes it; the letter says what had been done already."""
    known = {task.task_id: task for task in held.request.tasks or ()}
    for (detail,) in await held.tx.connection.fetch(_CONCLUDED, held.request.request_id):
        content = orjson.loads(detail)
        if (content.get("outcome") or content.get("changed")) and content["operation"] in ANSWERING:
            report = TaskReport.model_validate({"outcome": None, **content})
            known[report.task_id] = report
    return replace(held.request, tasks=tuple(known.values()) or held.request.tasks).withdraw(held.tx.now)


def read_as(held: Held, fact: Fact) -> str:
    """Returns a fact as a member of staff reads it."""
    zone = held.tx.policy.controller.zone
    return held.means.letters.words(fact, Reader(ENGLISH, zone, None))


def _reasons(decision: Proposed, held: Held) -> Options:
    """Yields the policy's reasons for this right, with the articles by which each holds."""
    known = held.means.reasons.of(decision).items()
    mine = [(code, each) for code, each in known if held.request.right in each.rights]
    return [
        (code, f"{read_as(held, Term(f'reason.{decision}', code))} (Art. {', '.join(each.articles)})")
        for code, each in mine
    ]


def _articles(decision: Proposed, held: Held) -> Options:
    known = held.means.reasons.of(decision).values()
    mine = sorted({by for each in known if held.request.right in each.rights for by in each.articles})
    return [(each, f"Art. {each}") for each in mine]


def _retired(held: Held) -> Options:
    return plain(*sorted({task.system for task in held.request.tasks or () if task.failure == "system_retired"}))


def _may_decide(held: Held) -> bool:
    return held.request.allows("decide") and held.request.role != "processor"


def _may_retry(held: Held) -> bool:
    request = held.request
    missing = request.unsearched or any(map(deferrals.is_undone, request.tasks or ()))
    return missing and not request.postponed and (request.allows("retry") or request.may_be_done_later)


def _answer(
    decision: Proposed, apply: Callable[[Held, Any], Awaitable[Transition]], may: Callable[[Held], bool], **more: Any
) -> Action:
    """Returns an action that answers a request, or a part of it, for a reason of the policy."""
    fields: dict[str, Any] = {"body": Answer, "shows": ("reason", "article"), **more}
    choices = {"reason": partial(_reasons, decision), "article": partial(_articles, decision)}
    fields["choices"] = {**choices, **fields.get("choices", {})}
    always: dict[str, Any] = {"second": by_two, "proposed": "decision.proposed", "final": True}
    return Action(f"requests/{decision.replace('_', '-')}", apply, may, **always, **fields)


ACTIONS: Final[Sequence[Action]] = (
    _answer("refuse", _answering("refuse"), _may_decide),
    _answer("answer_in_part", _answering("answer_in_part"), _may_decide),
    _answer(
        "end_part",
        _end_part,
        lambda held: bool(_retired(held)),
        body=EndedPart,
        choices={"system": _retired},
        shows=("system", "reason", "article"),
        target=("system",),
    ),
    Action(
        "requests/weigh",
        _weigh,
        lambda held: held.request.is_weighed and held.request.state is State.AWAITING_DECISION,
        Balancing,
        second=by_two,
        shows=("finding",),
        proposed="objection.finding_proposed",
        final=True,
    ),
    Action("requests/retry", _retry, _may_retry),
    Action(
        "requests/override-wait",
        _override,
        lambda held: held.request.postponed and not held.request.opposed,
        second=by_two,
        about=_waits_for,
        proposed="erasure.begin_proposed",
        final=True,
    ),
    Action("requests/withdraw", _withdraw, lambda held: held.request.allows("withdraw"), channel=True, final=True),
)
