"""Measures the product, each figure next to a limit from the same run.

`make bench` runs each `measure` function, compares its row with `docs/benchmarks.json`, and writes the page.
May import the product, `deploy` and `tests.fixtures`.
"""
