"""The nightly sweep: what is past a ceiling of the policy goes from every store, for everybody (Art. 5(1)(e))."""

from services.erasure.sweeping import copying, sparing, sweep
from shared.app.service import Service


def join(service: Service) -> None:
    """Lets the service sweep by night, and hear of the restrictions and copies that the sweep spares."""
    sparing.hear(service)
    copying.hear(service)
    service.also(sweep.run)
