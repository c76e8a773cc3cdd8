# mypy: ignore-errors
"""The tracker as a WSGI application for gunicorn's sync workers; its home is the folder in which it stands."""

from pathlib import Path

from roundup.cgi.wsgi_handler import RequestDispatcher

application = RequestDispatcher(str(Path(__file__).parent))
