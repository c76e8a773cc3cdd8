"""Lets a command that root started go on as another user: PostgreSQL refuses root, and nothing here needs it."""

import os
import pwd
import shutil
import sys
from contextlib import suppress

from deploy.local.paths import LOCAL

_UNPRIVILEGED_ID = 65534

# The folders above the checkout and the interpreter may be closed to everybody but root, and earlier runs of root may
# have left files in it: two capabilities stay. Without the secure bit access(2), by which PostgreSQL looks for its own
# programs, would ignore them.
_SETPRIV = "setpriv --reuid {uid} --regid {gid} --clear-groups --securebits +no_setuid_fixup"
_CAPABILITIES = "--inh-caps {kept} --ambient-caps {kept}"
_KEPT = ("dac_override", "fowner")

AS_ROOT = (
    *("setpriv", "--reuid=0", "--regid=0", "--clear-groups"),
    *("setpriv", "--securebits=-no_setuid_fixup", "--inh-caps=-all", "--ambient-caps=-all"),
)
"""Command prefix that restores root for a process that was root before ``become_unprivileged`` and kept that power.

The second word drops what the first had to keep.
"""


def become_unprivileged(*more_capabilities: str) -> None:
    """As root, replace this process by the same command, run by the owner of `.local`, or by `nobody` if root owns it.

    Args:
        more_capabilities: further capabilities, as `setpriv` names them.

    Raises:
        OSError: Without `setpriv` (outside Linux), if that user may not enter the checkout.
    """
    if os.geteuid() != 0:
        return
    LOCAL.mkdir(exist_ok=True)
    owner = LOCAL.stat()
    uid, gid = (owner.st_uid, owner.st_gid) if owner.st_uid else _unprivileged()
    if owner.st_uid != uid:
        for path in (LOCAL, *LOCAL.rglob("*")):
            with suppress(FileNotFoundError):  # another command, started at the same time, may have removed it
                os.chown(path, uid, gid, follow_symlinks=False)
    command = [sys.executable, *sys.orig_argv[1:]]
    if shutil.which("setpriv"):
        kept = ",".join(f"+{name}" for name in (*_KEPT, *more_capabilities))
        words = f"{_SETPRIV} {_CAPABILITIES}".format(uid=uid, gid=gid, kept=kept).split()
        os.execvp(words[0], [*words, *command])  # noqa: S606  # the command that runs now
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    os.execv(command[0], command)  # noqa: S606  # the same


def _unprivileged() -> tuple[int, int]:
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        return _UNPRIVILEGED_ID, _UNPRIVILEGED_ID
    return entry.pw_uid, entry.pw_gid
