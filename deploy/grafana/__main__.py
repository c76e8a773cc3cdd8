"""``make dashboards``: writes the dashboards into the folder that the manifests read and that compose.yaml mounts."""

import json
from pathlib import Path

import typer
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.grafana import one_request, operations, sla

FOLDER = Path(__file__).parents[1] / "k8s" / "components" / "observability" / "dashboards"
DASHBOARDS = {"sla": sla.build, "operations": operations.build, "one-request": one_request.build}


def text(name: str) -> str:
    """The dashboard as Grafana reads it."""
    return json.dumps(DASHBOARDS[name]().build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def main() -> None:
    """Writes all of them."""
    for name in DASHBOARDS:
        (FOLDER / f"{name}.json").write_text(text(name))
        typer.echo(f"wrote {(FOLDER / name).relative_to(Path.cwd())}.json")


if __name__ == "__main__":
    main()
