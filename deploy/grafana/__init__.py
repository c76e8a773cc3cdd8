"""Grafana: three dashboards built by code, and what Grafana must be told to find them."""
