"""The platform on one machine: its servers, the downstream systems, and the five services as processes."""
