"""What a broken connection to the broker means, and what to do. Adapter."""

import socket
import ssl
from datetime import datetime, timezone
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from agent.contract.config import BrokerConfig, DeviceConfig
from agent.contract.errors import BadContentError

EXPIRY_DAYS: Final = 14


def certificate_warning(broker: BrokerConfig, device: str) -> str:
    """Say what is about to go wrong with the client certificate; empty where nothing is.

    Raises:
        BadContentError: it has expired, or it is another device's.
    """
    if not broker.cert_file:
        return ""
    try:
        certificate = x509.load_pem_x509_certificate(Path(broker.cert_file).read_bytes())
    except (OSError, ValueError) as error:
        raise BadContentError(f"{broker.cert_file}: {error}; check [broker] cert_file") from error
    names = [str(n.value) for n in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if names != [device]:
        raise BadContentError(
            f"{broker.cert_file}: made for {', '.join(names) or 'nobody'}, not for {device};"
            " enrol this device, or correct `device`"
        )
    left = certificate.not_valid_after_utc - datetime.now(timezone.utc)
    if left.total_seconds() < 0:
        raise BadContentError(
            f"{broker.cert_file}: expired on {certificate.not_valid_after_utc:%Y-%m-%d};"
            " enrol this device again (or is the clock wrong?)"
        )
    return f"its certificate expires in {left.days} d" if left.days < EXPIRY_DAYS else ""


def wire_words(error: OSError, host: str, port: int) -> str:
    """Say what a socket error means, and what to do."""
    if isinstance(error, socket.gaierror):
        return f"name does not resolve; getent hosts {host} (check [broker] url and DNS)"
    if isinstance(error, ConnectionRefusedError):
        return (
            "nothing listens there; on the broker: systemctl status mosquitto;"
            f" ss -ltn | grep {port}"
        )
    if isinstance(error, TimeoutError):
        return f"no answer in time; ping {host} (then: firewall, port {port})"
    words = error.strerror or str(error)
    return f"{words}; ip route; ping {host}"


def tls_words(error: ssl.SSLError, broker: BrokerConfig) -> str:
    """Say what a TLS error means, and what to do."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _broker_certificate_words(error, broker)
    words = str(error).lower()
    for needles, meaning in _TLS_MEANINGS:
        if any(needle in words for needle in needles):
            return meaning
    if "alert" in words:
        who = broker.cert_file or "us"
        return f"the broker refuses {who}: {error.reason}; enrol this device again"
    return f"{error.reason or error}; compare [broker] files with the broker's"


_TLS_MEANINGS: Final = (
    (
        ("certificate required", "handshake failure"),
        "the broker wants a client certificate; set [broker] cert_file and key_file",
    ),
    (
        ("protocol version", "unsupported protocol"),
        "the broker speaks old versions of TLS only; let it speak TLS 1.2 or newer",
    ),
    (("eof occurred",), "the broker hung up; is there TLS on that port (8883), or mqtt:// only?"),
    (
        ("wrong version", "record layer"),
        "no TLS on that port; use mqtt:// or the broker's TLS port (8883)",
    ),
)


def _broker_certificate_words(error: ssl.SSLCertVerificationError, broker: BrokerConfig) -> str:
    said = error.verify_message
    if "hostname" in said.lower() or "ip address" in said.lower():
        return f"{said}; use the name in the broker's certificate in [broker] url"
    if "expired" in said or "not yet valid" in said:
        return f"{said}; renew the broker's certificate (or is the clock wrong?)"
    now = broker.ca_file or "the system's certificates"
    return f"{said}; put the CA that signed the broker into [broker] ca_file (now {now})"


def login_remedy(problem: str, config: DeviceConfig) -> str:
    """Return what to do about a refused or lost connection."""
    words = problem.lower()
    if "user name" in words or "password" in words:
        return "check [broker] username and password_file"
    if "authori" in words:
        login = f"user {config.broker.username}" if config.broker.username else "this device"
        return f"check [broker] username, password_file, and the broker's access rules for {login}"
    if "protocol" in words:
        return 'set [broker] protocol = "3.1.1"'
    if "identifier" in words:
        return f"let the broker accept the client id {config.device}"
    return "read the broker's log: journalctl -u mosquitto -e"
