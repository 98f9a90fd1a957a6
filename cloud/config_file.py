"""The worker's config file, read and completed from the command line. Adapter."""

import sys
from pathlib import Path
from typing import Any

from agent.contract.errors import BadContentError, UnavailableError
from cloud.config import CloudConfig, parse_cloud_config

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def load_cloud_config(path: Path | None, overrides: dict[str, Any] | None = None) -> CloudConfig:
    """Read a worker config.

    Args:
        path: The TOML file; None: all defaults.
        overrides: Values by dotted key, e.g. `{"broker.url": "mqtt://host"}`; None is no change.

    Raises:
        UnavailableError: the file cannot be read.
        BadContentError: names file, key, value and the allowed range.
    """
    document: dict[str, Any] = {}
    if path:
        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise UnavailableError(f"{path}: {error.strerror}; give --config FILE") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise BadContentError(f"{path}: not TOML: {error}") from error
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
