"""Where the API is, and with which key it is called; ``DSR_API_…``. No command takes a key as an argument."""

from typing import Self

from pydantic import Field, FilePath, SecretStr, model_validator

from shared.domain.configuration import Group

_URL = r"^(https://[^\s/?#@]+|http://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]+)?)(/[^\s?#@]*)?$"
"""The key goes with every call: in clear to nobody but this machine."""


class ApiSettings(Group, env_prefix="DSR_API_"):
    """Intake's API, as the commands call it."""

    url: str = Field(
        pattern=_URL, repr=False, description="base URL of intake, as https://dsr.example; http to this machine alone"
    )
    key: SecretStr | None = Field(default=None, description="an API key, made by `dsr api-key new`")
    key_file: FilePath | None = Field(default=None, description="file that holds the key, instead of DSR_API_KEY")

    @model_validator(mode="after")
    def _has_one_key(self) -> Self:
        if (self.key is None) == (self.key_file is None):
            said = "neither DSR_API_KEY nor" if self.key is None else "both DSR_API_KEY and"
            raise ValueError(f"{said} DSR_API_KEY_FILE is set: set one of them, to an API key or a file that holds it")
        return self

    @property
    def token(self) -> str:
        """The key itself; raises ``OSError`` where its file cannot be read."""
        if self.key:
            return self.key.get_secret_value()
        return self.key_file.read_text(encoding="utf-8").strip() if self.key_file else ""
