"""The systems that hold personal data, and the one engine that works them."""
