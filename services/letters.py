"""The command `dsr letters`: what is to be posted, and a sample of each kind."""

from typing import Annotated

import typer

from services.cli.files import print_letters
from services.correspondence.rendering import Renderer
from services.intake.letters.previews import sample, samples
from services.intake.letters.rendering import Letters
from services.intake.request.letter_kinds import KINDS
from shared.domain.wording import LANGUAGES

letters = typer.Typer(help="Letters to data subjects.")
letters.command("print")(print_letters)


@letters.command()
def preview(
    kind: Annotated[str, typer.Argument(help="of which kind, such as answer, or answer_refused; all: each of them")],
    *,
    lang: Annotated[str, typer.Option(help=f"in which language: {', '.join(LANGUAGES)}")] = "en",
    html: Annotated[
        bool, typer.Option("--html", help="Print the HTML, which is what is kept, and not its text.")
    ] = False,
) -> None:
    """Print a letter as it would read, about an invented request: for who signs the words off."""
    if lang not in LANGUAGES:
        raise typer.BadParameter(f"no such language; the languages are {', '.join(LANGUAGES)}")
    known = Letters()
    renderer = Renderer(known.policy)
    named = [name for name, (of, _) in samples(known).items() if kind in {"all", name, of}]
    if not named:
        raise typer.BadParameter(f"no such kind of letter; the kinds are {', '.join(sorted(KINDS))}")
    for each in named:
        letter = renderer.render(sample(known, each, lang))
        typer.echo(f"===== {each}\n" if len(named) > 1 else "", nl=False)
        typer.echo(letter.html if html else letter.body, nl=False)
