"""``make up`` and ``make down``: start the platform with one's own systems, and end it."""

import typer

from deploy.up.start import down, up

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
app.command()(up)
app.command()(down)

if __name__ == "__main__":
    app()
