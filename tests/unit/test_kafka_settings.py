"""What the settings say about the broker's users and encryption is what every client of it is given."""

import ssl

import pytest
from pydantic import SecretStr

from shared.domain.errors import Misconfigured
from shared.runtime.settings import KafkaSettings


def test_on_one_machine_nobody_asks_who_we_are() -> None:
    assert KafkaSettings(bootstrap="127.0.0.1:9092").client() == {
        "bootstrap_servers": "127.0.0.1:9092",
        "security_protocol": "PLAINTEXT",
    }


def test_in_a_cluster_a_service_proves_its_password_over_a_checked_connection() -> None:
    password = SecretStr("known to two")
    given = KafkaSettings(
        bootstrap="b:9093", security_protocol="SASL_SSL", username="dsr-erasure", password=password
    ).client()
    assert (given["sasl_mechanism"], given["sasl_plain_username"]) == ("SCRAM-SHA-512", "dsr-erasure")
    assert given["sasl_plain_password"] == "known to two"
    assert given["ssl_context"].verify_mode is ssl.CERT_REQUIRED
    assert given["ssl_context"].check_hostname is True


def test_a_user_without_a_password_is_said_before_anything_connects() -> None:
    with pytest.raises(Misconfigured, match="DSR_KAFKA_PASSWORD"):
        KafkaSettings(bootstrap="b:9093", security_protocol="SASL_SSL", username="dsr-erasure").client()


def test_the_password_does_not_show_when_settings_are_printed() -> None:
    settings = KafkaSettings(bootstrap="b:9093", password=SecretStr("known to two"))
    assert "known to two" not in repr(settings)
