"""The platform on one machine: its servers, the downstream systems, and the six services as processes."""
