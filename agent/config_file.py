"""The device's own file, read. Adapter."""

from pathlib import Path

from agent.base.toml import read_toml
from agent.contract.config import DeviceConfig, parse_config


def load_config(path: Path) -> DeviceConfig:
    """Read a device config.

    Raises:
        UnavailableError: the file cannot be read.
        BadContentError: names file, key, value and the allowed range.
    """
    return parse_config(read_toml(path), str(path))
