"""What can be chosen of a breach, in words."""

from typing import Final

from services.intake.console.decisions.decision import Options

NATURES: Final[Options] = (
    ("confidentiality", "somebody saw data who must not"),
    ("integrity", "data were changed"),
    ("availability", "data were lost, or cannot be reached"),
)
WHOM: Final[Options] = (
    ("authority", "the supervisory authority (Art. 33(1))"),
    ("controller", "a customer who decides about the data (Art. 33(2))"),
    ("persons", "persons whom no letter reaches (Art. 34)"),
)
PHASES: Final[Options] = (
    ("complete", "everything is told"),
    ("initial", "a first part; the rest follows"),
    ("further", "a further part; the rest follows"),
)
EXEMPTIONS: Final[Options] = (
    ("protected", "nobody can read the data (34(3)(a))"),
    ("averted", "the high risk is no longer likely (34(3)(b))"),
    ("disproportionate", "each by themselves would be disproportionate: told in public (34(3)(c))"),
)
CLOSED_AS: Final[Options] = (
    ("authority_notified", "the authority was told"),
    ("controller_notified", "the customer who decides was told"),
    ("no_risk", "no risk to anybody's rights"),
    ("no_breach", "nothing has happened"),
)
