"""The worker's config file, read and completed from the command line. Adapter."""

from pathlib import Path
from typing import Any, Final

from agent.base.toml import read_toml
from agent.contract.errors import BadContentError
from cloud.config import CloudConfig, parse_cloud_config

DEFAULT_FILE: Final = Path("/etc/secondlook/cloud.toml")


def default_file() -> Path | None:
    """Return the usual place of the worker's file; None where nothing is there."""
    try:
        return DEFAULT_FILE if DEFAULT_FILE.exists() else None
    except PermissionError:
        return DEFAULT_FILE  # whoever reads it says what is wrong


def load_cloud_config(path: Path | None, overrides: dict[str, Any] | None = None) -> CloudConfig:
    """Read a worker config.

    Args:
        path: The TOML file; None: all defaults.
        overrides: Values by dotted key, e.g. `{"broker.url": "mqtt://host"}`; None is no change.

    Raises:
        UnavailableError: the file cannot be read.
        BadContentError: names file, key, value and the allowed range.
    """
    document = read_toml(path) if path else {}
    for key, value in (overrides or {}).items():
        if value is not None:
            _put(document, key, value)
    return parse_cloud_config(document, str(path) if path else "command line")


def _put(document: dict[str, Any], key: str, value: object) -> None:
    section, _, name = key.rpartition(".")
    place = document.setdefault(section, {}) if section else document
    if not isinstance(place, dict):
        raise BadContentError(f"{section}: must be a table")
    place[name] = value
