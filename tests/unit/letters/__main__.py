"""Writes the letters anew, to be reviewed in the diff: ``python -m tests.unit.letters``."""

from services.intake.letters.previews import sample
from services.intake.request.letter_kinds import KINDS
from shared.domain.wording import LANGUAGES
from tests.fixtures.words import LETTERS, RENDERER
from tests.unit.letters.reviewed import file_of

if __name__ == "__main__":
    for kind in KINDS:
        for language in LANGUAGES:
            file_of(kind, language).write_text(RENDERER.render(sample(LETTERS, kind, language)).body, encoding="utf-8")
