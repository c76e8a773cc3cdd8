"""Requests that close although a process was killed."""
