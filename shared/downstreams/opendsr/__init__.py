"""Third parties that speak OpenDSR 2.0: asked to erase and to give access, then asked again what they hold."""

from shared.downstreams.opendsr.adapter import OpenDsrAdapter
from shared.downstreams.opendsr.settings import OpenDsrSettings

__all__ = ["OpenDsrAdapter", "OpenDsrSettings"]
