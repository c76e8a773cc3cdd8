"""How the platform is run: on one machine and in a cluster."""
