"""One engine for every system: find, plan, apply, verify."""
