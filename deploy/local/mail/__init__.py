"""Mail servers of this machine: Debian's OpenSMTPD and Dovecot, unpacked and not installed."""
