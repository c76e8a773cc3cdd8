"""SQL stores, driven by a declared dataset: set-wise, and checked by looking again."""

from shared.downstreams.sql.adapter import SqlAdapter
from shared.downstreams.sql.dataset import path_of
from shared.downstreams.sql.preparation import schema_for
from shared.downstreams.sql.settings import SqlSettings

__all__ = ["SqlAdapter", "SqlSettings", "path_of", "schema_for"]
