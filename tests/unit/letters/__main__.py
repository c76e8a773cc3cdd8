"""Writes the letters anew, to be reviewed in the diff: ``python -m tests.unit.letters``."""

from services.intake.letter_kinds import KINDS
from services.intake.letters import Letters
from services.intake.previews import preview
from shared.domain.wording import LANGUAGES
from tests.unit.letters.reviewed import file_of

if __name__ == "__main__":
    letters = Letters()
    for kind in KINDS:
        for language in LANGUAGES:
            file_of(kind, language).write_text(preview(letters, kind, language).body, encoding="utf-8")
