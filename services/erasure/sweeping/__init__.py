"""The nightly sweep: what is past a ceiling of the policy goes from every store, for everybody (Art. 5(1)(e))."""
