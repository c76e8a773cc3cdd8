"""OpenSMTPD and Dovecot as one process of ours: mail comes in and goes out as it does elsewhere, on this machine alone.

Dovecot takes what we send, over TLS and with a password, and hands it to OpenSMTPD, which signs it, queues it, and
writes to its sender what could not be delivered. (OpenSMTPD of Debian 12 cannot do TLS itself: it is built for an
older OpenSSL.) OpenSMTPD wants root, and both want to lie where they look for their files: hence the namespace.
"""

import json
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Final, Self

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from deploy.local import debian
from deploy.local.authority import issue
from deploy.local.ports import HOST, accepts, free_ports
from deploy.local.process import Child
from deploy.local.progress import Progress
from deploy.local.server import Server
from deploy.local.unprivileged import AS_ROOT

SELECTOR: Final = "dsr"
"""Below which a domain would publish the key that letters are signed with."""
_HERE = Path(__file__).parent
_PORTS = ("exchanger", "relay", "lmtp", "imaps", "submission", "submissions")
_APART = (*AS_ROOT, "unshare", "--mount", "sh")
_BEGUN = "MAIL_SERVERS_BEGUN"


class NeedsRootError(RuntimeError):
    """Only root may start OpenSMTPD, in a mount namespace of its own: start this as root, on Debian."""


class MailServers(Server):
    """Mailboxes of ``ours``, the address that people write to, and of ``others``; ``directory`` holds their settings.

    ``ports``: `exchanger` takes mail from anywhere; `submissions` (TLS from the first byte) and `submission` (STARTTLS)
    take what we send, and `imaps` shows a mailbox, each for whoever has the password of an address.
    """

    title = "OpenSMTPD and Dovecot"

    def __init__(
        self, directory: Path, ours: str, others: Sequence[str] = (), progress: Progress | None = None
    ) -> None:
        super().__init__(directory, progress)
        self.ours = ours
        self.authority = directory / "conf" / "authority.pem"
        self.ports: Mapping[str, int] = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
        self.passwords: Mapping[str, str] = {each: secrets.token_urlsafe(16) for each in (ours, *others)}

    @classmethod
    def begun(cls) -> Self | None:
        """Those that were started before this process became another program, if any."""
        if (told := os.environ.pop(_BEGUN, None)) is None:
            return None
        known = json.loads(told)
        servers = cls(Path(known["directory"]), known["ours"])
        servers.ports, servers.passwords = known["ports"], known["passwords"]
        return servers

    def stay(self) -> None:
        """Lets them run on when this process becomes another program, until that ends; ``begun`` has them there."""
        self.child.stay()
        known = {"directory": str(self.directory), "ours": self.ours, "ports": self.ports, "passwords": self.passwords}
        os.environ[_BEGUN] = json.dumps(known)

    def shown(self, address: str) -> str:
        """How a mail program on this machine gets to its mailbox."""
        return f"imaps://{HOST}:{self.ports['imaps']}, user {address}, password {self.passwords[address]}"

    def prepare(self) -> Child:
        """Write their settings.

        Raises:
            NeedsRootError: this is not root, and was not.
            PackageMissingError: there is no apt here, or it could not fetch them.
        """
        try:
            subprocess.run([*_APART, "-c", "mount -t tmpfs run /run"], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            raise NeedsRootError(NeedsRootError.__doc__) from None
        packages = debian.MAIL_SERVERS.unpacked()
        shutil.rmtree(self.directory / "conf", ignore_errors=True)
        self._configure(self.directory / "conf")
        listening = [accepts(self.ports[each]) for each in _PORTS]
        return Child(
            self.title,
            [*_APART, _HERE / "run.sh", packages, self.directory],
            log=self.directory / "mail.log",
            ready=lambda: all(each() for each in listening),
            env={"LC_ALL": "C"},
            stop_signal=signal.SIGKILL,  # nothing outlives them that they would have to close
        )

    @property
    def env(self) -> Mapping[str, str]:
        """With which intake sends its letters by them, and reads its mailbox."""
        domain = self.ours.rpartition("@")[2]
        known = {
            "HOST": HOST,
            "CA_FILE": str(self.authority),
            "USERNAME": self.ours,
            "PASSWORD": self.passwords[self.ours],
        }
        return {
            **{f"DSR_{server}_{name}": value for server in ("SMTP", "IMAP") for name, value in known.items()},
            "DSR_SMTP_PORT": str(self.ports["submissions"]),
            "DSR_SMTP_SENDER": self.ours,
            "DSR_IMAP_PORT": str(self.ports["imaps"]),
            "DSR_IMAP_EXCHANGERS": f"mx.{domain}",
        }

    def _configure(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        issue(folder)
        key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
        plain = (serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
        (folder / "dkim.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, *plain))
        public = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        (folder / "dkim.der").write_bytes(key.public_key().public_bytes(*public))
        lines = (f"{address}:{{PLAIN}}{password}::::::\n" for address, password in self.passwords.items())
        (folder / "boxes").write_text("".join(lines))
        domains = sorted({each.rpartition("@")[2] for each in self.passwords})
        facts = {
            "host": HOST,
            "domain": self.ours.rpartition("@")[2],
            "domains": " ".join(f'"{each}"' for each in domains),
        }
        for template in _HERE.glob("*.conf"):
            written = Template(template.read_text()).substitute(facts, **self.ports)
            (folder / template.name).write_text(written)
