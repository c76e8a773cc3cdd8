"""Modules of the tracker, loaded by Roundup."""
