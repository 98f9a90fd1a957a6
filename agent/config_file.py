"""The device's own file, read. Adapter."""

import sys
from pathlib import Path
from typing import Any

from agent.contract.config import DeviceConfig, parse_config
from agent.contract.errors import BadContentError, UnavailableError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def load_config(path: Path) -> DeviceConfig:
    """Read a device config.

    Raises:
        UnavailableError: the file cannot be read.
        BadContentError: names file, key, value and the allowed range.
    """
    try:
        document: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UnavailableError(f"{path}: {error.strerror}; give --config FILE") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadContentError(f"{path}: not TOML: {error}") from error
    return parse_config(document, str(path))
