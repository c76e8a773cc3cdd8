"""How a process shows the broker who it is: nothing on one machine, a user and a password over TLS in a cluster."""

import ssl
from collections.abc import Mapping
from typing import Any

from shared.domain.errors import Misconfigured
from shared.runtime.settings import KafkaSettings

Access = Mapping[str, Any]
"""Arguments that every client of the broker takes alike."""


def access(settings: KafkaSettings) -> Access:
    """What the settings say about encryption and the user; raises ``Misconfigured`` if half of it is missing."""
    arguments: dict[str, Any] = {"security_protocol": settings.security_protocol}
    if settings.security_protocol.endswith("SSL"):
        arguments["ssl_context"] = ssl.create_default_context(cafile=settings.ca_file)
    if settings.security_protocol.startswith("SASL"):
        if settings.username is None or settings.password is None:
            message = f"{settings.security_protocol} needs DSR_KAFKA_USERNAME and DSR_KAFKA_PASSWORD"
            raise Misconfigured(message)
        arguments |= {
            "sasl_mechanism": settings.sasl_mechanism,
            "sasl_plain_username": settings.username,
            "sasl_plain_password": settings.password.get_secret_value(),
        }
    return arguments
