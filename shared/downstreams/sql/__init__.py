"""SQL stores, driven by a declared dataset, and checked by looking again."""

from shared.downstreams.sql.adapter import SqlAdapter
from shared.downstreams.sql.declaration.dataset import path_of
from shared.downstreams.sql.dialects import adapter_of, is_mariadb, schema_for
from shared.downstreams.sql.mariadb.adapter import MariaDbAdapter
from shared.downstreams.sql.of_dataset import OfDataset
from shared.downstreams.sql.settings import SqlSettings

__all__ = [
    "MariaDbAdapter",
    "OfDataset",
    "SqlAdapter",
    "SqlSettings",
    "adapter_of",
    "is_mariadb",
    "path_of",
    "schema_for",
]
