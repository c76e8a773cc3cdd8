"""Locates the reviewed text of a letter."""

from pathlib import Path


def file_of(kind: str, language: str) -> Path:
    return Path(__file__).parent / f"{kind}.{language}.txt"
