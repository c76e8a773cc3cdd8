"""Pages from templates: all values are escaped, and an undefined name is an error."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

TEMPLATES = Path(__file__).parent / "templates"
STATIC_FILES = Path(__file__).parent / "static"


class Pages:
    """The templates of a site, on top of the shared ones."""

    def __init__(self, *folders: Path) -> None:
        self._environment = _environment(folders)

    @property
    def names(self) -> Sequence[str]:
        """Returns the name of every template."""
        return self._environment.list_templates()

    def show(self, template: str, status: int, facts: dict[str, Any]) -> HTMLResponse:
        """Renders a template.

        Raises:
            TemplateError: the template uses an undefined name.
        """
        return HTMLResponse(self._environment.get_template(template).render(facts), status)


@cache
def _environment(folders: tuple[Path, ...]) -> Environment:
    return Environment(
        loader=FileSystemLoader([*folders, TEMPLATES]),
        undefined=StrictUndefined,
        autoescape=True,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
