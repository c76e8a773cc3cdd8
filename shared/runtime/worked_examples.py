"""Worked examples that somebody else has computed, and what of them we compute differently."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import typer


def read_examples(file: Path) -> list[dict[str, Any]]:
    """The examples of a JSON file; raises ``typer.BadParameter`` if it cannot be read or holds none."""
    try:
        examples = orjson.loads(file.read_bytes())
    except (OSError, orjson.JSONDecodeError) as wrong:
        raise typer.BadParameter(str(wrong)) from None
    if not isinstance(examples, list) or not all(isinstance(example, dict) for example in examples):
        raise typer.BadParameter("the file must hold a list of examples")
    if not examples:
        raise typer.BadParameter("the file holds no example, so nothing was checked: name one that does")
    return examples


def differing(name: str, expected: Mapping[str, Any], computed: Mapping[str, Any]) -> Iterator[str]:
    """One line for each figure of an example that we compute differently."""
    for figure, wanted in expected.items():
        ours = computed.get(figure, "a figure that is not known here")
        if ours != wanted:
            yield f"{name}: {figure}: expected {wanted}, computed {ours}"


def conclude(examples: Sequence[object], differences: Sequence[str], *, as_json: bool) -> None:
    """Print what differs, and end with status 1 if anything does."""
    if as_json:
        typer.echo(orjson.dumps({"examples": len(examples), "mismatches": differences}))
    else:
        typer.echo("\n".join(differences or [f"{len(examples)} examples, no mismatch"]))
    if differences:
        raise typer.Exit(1)
