"""The tree of failures names every one of them, wherever it is defined."""

import importlib
import pkgutil
import re

import services
import shared
from shared.domain import errors


def failures(of: type[errors.DsrError]) -> set[str]:
    """The names of a class and of all that the product derives from it; a test may define its own."""
    ours = [each for each in of.__subclasses__() if each.__module__.startswith(("shared.", "services."))]
    return {of.__name__}.union(*map(failures, ours))


def test_the_tree_names_every_failure_of_the_product() -> None:
    for package in (services, shared):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    named = re.findall(r"── (\w+(?:, \w+)*)", errors.__doc__ or "")
    assert failures(errors.DsrError) == {"DsrError", *", ".join(named).split(", ")}
