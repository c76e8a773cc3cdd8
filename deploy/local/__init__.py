"""The platform on one machine: servers, downstream systems, a believable company and the demo."""
