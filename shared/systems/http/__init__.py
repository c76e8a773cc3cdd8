"""Systems with an HTTP interface that are connected by a declaration, without code."""
