"""Parts of a document (JSON) in a column: where they stand, and how they are changed where they exist."""

from shared.downstreams.sql.declaration.columns import Column
from shared.downstreams.sql.quoting import literal


def path_of(name: str, column: Column) -> str:
    """Where a part stands, as PostgreSQL reads it; an index is on ``((document #>> this))``."""
    steps = (step.replace("\\", "\\\\").replace('"', '\\"') for step in column.path or (name,))
    plain = ",".join(step if step.isidentifier() else f'"{step}"' for step in steps)
    return literal("{" + plain + "}")


def changed(document: str, name: str, column: Column, value: str) -> str:
    """A document (``jsonb``) in which that text stands at the path, or null; one without the path stays as it is."""
    return f"jsonb_set_lax({document}, {path_of(name, column)}, to_jsonb({value}), false, 'use_json_null')"
