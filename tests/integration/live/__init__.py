"""Tests of the running platform that look inside it, or need one of their own."""
