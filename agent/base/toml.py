"""TOML files. Adapter."""

import sys
from pathlib import Path
from typing import Any

from agent.contract.errors import BadContentError, UnavailableError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def read_toml(path: Path, max_bytes: int = 1024 * 1024) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        UnavailableError: the file cannot be read.
        BadContentError: too large, or not TOML.
    """
    try:
        if path.stat().st_size > max_bytes:
            raise BadContentError(f"{path}: over {max_bytes} bytes")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UnavailableError(f"{path}: {error.strerror}; check the path") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadContentError(f"{path}: not TOML: {error}") from error


def parse_value(text: str) -> object:
    """Read one TOML value, as on a command line: `0.5`, `true`, `"word"`.

    Raises:
        BadContentError: not a TOML value.
    """
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError as error:
        raise BadContentError(f"{text[:60]!r} is no TOML value: {error}") from error
