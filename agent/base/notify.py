"""Words to systemd (sd_notify): READY, STATUS, WATCHDOG. Adapter."""

import os
import socket


def notify(*lines: str) -> bool:
    """Send state lines to the service manager.

    Returns:
        False where there is none, or it does not listen: that is never this daemon's failure.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    target = "\0" + address[1:] if address.startswith("@") else address
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.sendto("\n".join(lines).encode(), target)
    except OSError:
        return False
    return True


def watchdog_period_s() -> float | None:
    """Return how often systemd wants to hear from us (half its limit); None: not at all."""
    limit = os.environ.get("WATCHDOG_USEC", "")
    return int(limit) / 2_000_000 if limit.isdigit() and int(limit) > 0 else None
