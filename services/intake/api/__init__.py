"""The API: submit, follow, verify, withdraw, decide, download; every call needs a key, every error is a problem."""
