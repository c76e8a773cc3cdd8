"""Writes the letters again, to be reviewed in the diff: ``python -m tests.unit.letters``."""

from services.letters import sample, samples
from shared.domain.languages import LANGUAGES
from tests.fixtures.words import LETTERS, RENDERER
from tests.unit.letters.reviewed import file_of

if __name__ == "__main__":
    known = {file_of(name, language): (name, language) for name in samples(LETTERS) for language in LANGUAGES}
    for file in set(file_of("", "").parent.glob("*.txt")) - known.keys():
        file.unlink()
    for file, (name, language) in known.items():
        file.write_text(RENDERER.render(sample(LETTERS, name, language)).body, encoding="utf-8")
