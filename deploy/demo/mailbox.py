"""The mailboxes of the demonstration: servers that are started as root, before that is left, or none."""

import os
import sys
from pathlib import Path

from deploy.local.debian import PackageMissingError
from deploy.local.mail.servers import MailServers, NeedsRootError
from deploy.local.process import ChildFailedError

OURS, WRITER = "privacy@cloudcontactpro.test", "marlene@post.test"
"""Where people write to, and somebody who does; neither is a domain that there is."""
_RECIPIENT = "privacy@beispielpost.example"
"""Of ``policy/parties.toml``: notices go there by e-mail."""


def begin(directory: Path) -> None:
    """As root, starts the servers, which stay until the demonstration ends; elsewhere each letter is printed."""
    if os.geteuid() != 0:
        return
    servers = MailServers(directory, OURS, [WRITER, _RECIPIENT])
    try:
        servers.start()
    except (NeedsRootError, PackageMissingError, ChildFailedError) as error:
        sys.stderr.write(f"No mail server: {str(error).splitlines()[0]}\n")
        return
    servers.stay()
