"""``python -m services`` is the command ``dsr``."""

from services.cli import main

main()
