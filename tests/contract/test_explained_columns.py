"""What a check says of columns that are shown without a word of what they mean."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services import cli


def test_a_check_names_the_columns_of_a_store_that_nobody_explains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DSR_STORE_DSN", "postgresql://store")
    columns = {
        "id": 'class = "T"',
        "mail": 'class = "A", identity = "email", label = "email"',
        "said": 'class = "C", explain = "what you have written"',
        "seconds": 'class = "M"',
        "peer": 'class = "B"',
    }
    declared = ", ".join(f"{name} = {{ {each} }}" for name, each in columns.items())
    (tmp_path / "chats.toml").write_text(
        f'name = "chats"\n[tables.chat]\ncategory = "chat"\nprimary_key = ["id"]\ncolumns = {{ {declared} }}\n'
    )
    file = tmp_path / "downstreams.toml"
    file.write_text('[store]\nadapter = "sql"\ndsn_env = "DSR_STORE_DSN"\ndataset = "chats.toml"\nneeds = ["email"]\n')
    done = CliRunner().invoke(cli.app, ["downstreams", "check", str(file), "--file-only", "--json"])
    assert json.loads(done.stdout)["systems"]["store"]["unexplained"] == ["chat.seconds"]
