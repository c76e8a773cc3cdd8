"""Pages of a question: its choices, what is wrong with an answer, and the answers to check before they are sent."""

from collections.abc import Sequence

from starlette.responses import Response

from services.intake.portal.draft import Fault
from services.intake.portal.portal import spoken
from services.intake.web.forms import FormError
from services.intake.web.site import Visit
from shared.domain.sentences import Sentence, say


def choose(
    visit: Visit,
    name: str,
    question: str,
    options: Sequence[tuple[str, str, str]],
    chosen: Sequence[str | None],
    faults: Sequence[Fault],
    **more: object,
) -> Response:
    """The page of a question with its choices."""
    known = {"kind": "radio", "besides": None, "back": "/ask/right", **more}
    title: Sentence = say(question)
    hint: Sentence = say(f"{question}_hint")
    return visit.page(
        "choose.html",
        errors_of(visit, faults),
        name=name,
        question=spoken(visit, title),
        hint=spoken(visit, hint),
        options=options,
        values=[each for each in chosen if each],
        **known,
    )


def checked(visit: Visit, answers: Sequence[tuple[str, str, str]], happens: str, mark: str, back: str) -> Response:
    """The page of the answers to check; where it was sent, others have been given since it was shown."""
    errors = [FormError("send", spoken(visit, say("portal_error.other_answers")))] if visit.sent else []
    texts = {"next_text": spoken(visit, say(happens)), "back": back, "shown": mark}
    return visit.page("check.html", errors, answers=answers, **texts)


def option(visit: Visit, key: str, value: str) -> tuple[str, str, str]:
    """A choice, its words, and what is said of it besides."""
    return value, spoken(visit, say(key)), spoken(visit, say(f"{key}_more"))


def errors_of(visit: Visit, faults: Sequence[Fault]) -> list[FormError]:
    """What is wrong, in the words of the page."""
    return [FormError(field, spoken(visit, said)) for field, said in faults]
