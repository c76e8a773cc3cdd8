"""Systems with an HTTP interface that are connected by a declaration, without code."""

from shared.downstreams.http.adapter import HttpAdapter
from shared.downstreams.http.declaration import path_of, read_declaration
from shared.downstreams.http.settings import DeclaredHttpSettings

__all__ = ["DeclaredHttpSettings", "HttpAdapter", "path_of", "read_declaration"]
