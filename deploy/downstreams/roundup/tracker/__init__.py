"""The home of the local tracker: read by Roundup inside its own virtual environment, never imported by the platform."""
