"""What it means for a request that a letter of it is not delivered: said on its page, and with the letter; pure."""

from collections.abc import Iterator, Sequence
from typing import Final

from services.intake.request.causes.delivery import Told

_OPEN: Final = frozenset({"waiting", "person"})
_STANDS: Final = {
    "answer": "The answer does not count as given, and the time limit runs on",
    "question": "The question does not count as asked, and no time limit stops for it",
    "lift": "The restriction stays, since they must be told before it is lifted (Art. 18(3))",
}


def why(state: str, tells: Sequence[Told]) -> Iterator[str]:
    """Sentence by sentence what follows from it for as long as it is not delivered; nothing once it is."""
    if state not in _OPEN:
        return
    known = [each for each in tells if "there" not in each]
    for each in known:
        if each["what"] == "extension":
            yield (
                f"The extension to {each['due_on']} does not hold, and it is due on {each['due_before']}, unless the"
                f" letter is delivered in time (Art. 12(3))."
            )
        elif stands := _STANDS.get(str(each["what"])):
            yield f"{stands}, until the letter is delivered."


def stands(kind: str, state: str, fault: str | None) -> str:
    """How far the letter has come, in one sentence."""
    letter = f"The letter \u201c{kind.replace('_', ' ')}\u201d"
    if state == "waiting":
        return f"{letter} is still to be delivered."
    return f"{letter} waits for a person: {(fault or 'nobody knows why').replace('_', ' ')}."
