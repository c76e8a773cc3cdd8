"""The console of the privacy team: what waits, a request's whole story, and every decision with what it will do."""
