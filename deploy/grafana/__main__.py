"""``make dashboards``: writes deploy/grafana/dashboards/*.json from the code; a test keeps them from drifting."""

import json
from pathlib import Path

import typer
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.grafana import one_request, operations, sla

FOLDER = Path(__file__).parent / "dashboards"
DASHBOARDS = {"sla": sla.build, "operations": operations.build, "one-request": one_request.build}


def text(name: str) -> str:
    """The dashboard as Grafana reads it."""
    return json.dumps(DASHBOARDS[name]().build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def main() -> None:
    """Writes all of them."""
    for name in DASHBOARDS:
        (FOLDER / f"{name}.json").write_text(text(name))
        typer.echo(f"wrote deploy/grafana/dashboards/{name}.json")


if __name__ == "__main__":
    main()
