"""Third parties that speak OpenDSR 2.0: asked to erase and to give access, then asked again what they hold."""
