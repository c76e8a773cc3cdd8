"""One process: settings, loops, liveness, telemetry."""
