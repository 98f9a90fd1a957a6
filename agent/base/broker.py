"""How a client gets into a broker: TLS and password. Adapter."""

import os
import ssl
from pathlib import Path

from paho.mqtt import client as mqtt

from agent.contract.config import BrokerConfig, broker_address
from agent.contract.errors import BadContentError, UnavailableError


def log_in(client: mqtt.Client, config: BrokerConfig) -> None:
    """Give a client its password and certificates.

    Raises:
        BadContentError: the TLS files do not load.
        UnavailableError: a file cannot be read.
    """
    try:
        if config.username:
            file = config.password_file
            password = Path(file).read_text().strip() if file else None
            client.username_pw_set(config.username, password)
    except OSError as error:
        raise UnavailableError(f"broker password_file: {error}; check the path") from error
    context = tls_context(config)
    if context:
        client.tls_set_context(context)


def tls_context(config: BrokerConfig) -> ssl.SSLContext | None:
    """Return what the broker's TLS is checked with; None for an `mqtt://` url.

    Raises:
        BadContentError: the files do not load.
        UnavailableError: a file cannot be read.
    """
    if not broker_address(config.url)[2]:
        return None
    try:
        context = ssl.create_default_context(cafile=config.ca_file or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if config.cert_file:
            context.load_cert_chain(config.cert_file, config.key_file)
    except ssl.SSLError as error:
        raise BadContentError(f"broker TLS files: {error}; check ca, cert and key") from error
    except OSError as error:
        names = [n for n in (config.ca_file, config.cert_file, config.key_file) if n]
        name = next((n for n in names if not os.access(n, os.R_OK)), " ".join(names))
        raise UnavailableError(
            f"broker TLS file {name}: {error.strerror}; check the path, and chmod it"
        ) from error
    return context
