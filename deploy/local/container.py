"""A process in an image's files, as a cluster runs it: read-only, as the numeric user, with no power to gain any."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.local.image import Image

SETTINGS = Path("/etc/dsr")
"""Where a container finds the files that its settings name."""

# In a mount namespace of its own, which ends with the process. Everything is one exec after the other, so that the
# process that was started is the service itself, and a signal reaches it.
_RUN = f"""\
set -e
root=$1 settings=$2 user=$3 group=$4 workdir=$5
shift 5
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mkdir -p "$root{SETTINGS}"
mount --bind "$settings" "$root{SETTINGS}"
mount -o remount,bind,ro "$root{SETTINGS}"
mount -o remount,bind,ro "$root"
exec setpriv --no-new-privs unshare --root "$root" --wd "$workdir" --setgid "$group" --setuid "$user" "$@"
"""


@dataclass(frozen=True)
class Containers:
    """Runs processes of one image; ``settings`` is the folder that they find at ``SETTINGS``."""

    image: Image
    settings: Path

    def service(self, name: str, environment: Mapping[str, str]) -> list[str]:
        """The command that runs the image with that argument."""
        return self.command([*self.image.entrypoint, name], environment)

    def command(self, words: Sequence[str], environment: Mapping[str, str]) -> list[str]:
        """The command that runs these words in a container; of this machine's variables none gets in."""
        user, group = self.image.user.split(":")
        variables = {**self.image.environment, **environment}
        return [
            *("unshare", "--mount", "sh", "-c", _RUN, "sh"),
            *(str(self.image.root), str(self.settings), user, group, self.image.workdir),
            *("/usr/bin/env", "-i", *(f"{name}={value}" for name, value in variables.items()), *words),
        ]
