"""The portal: people make a privacy request, prove their identity, and follow the request."""
