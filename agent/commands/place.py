"""Which state folder a command looks into. Shell."""

import os
from dataclasses import dataclass
from pathlib import Path

from agent.config_file import load_config
from agent.contract.config import DeviceConfig
from agent.contract.errors import UnavailableError


@dataclass(frozen=True, slots=True)
class Place:
    """A state folder, and the config that named it."""

    state: Path
    config: DeviceConfig | None
    """None where only the folder was given: limits are then unknown."""

    @property
    def spool(self) -> Path:
        """Folder of the spool."""
        return self.state / "spool"


def find_place(config_path: Path | None, state_dir: Path | None) -> Place:
    """Find the state folder.

    Args:
        config_path: The device's file; None: only the folder is known.
        state_dir: The folder itself; goes before the config's. One of the two is given.

    Raises:
        BadContentError: the config is wrong.
        UnavailableError: config or folder cannot be read.
    """
    config = load_config(config_path) if config_path else None
    state = state_dir or Path(config.state_dir if config else "")
    if not may_look(state):
        raise UnavailableError(
            f"{state}: no such folder; has the agent run here? Give --config or --state-dir"
        )
    return Place(state, config)


def may_look(state: Path) -> bool:
    """Tell whether a state folder is there.

    Raises:
        UnavailableError: it, or the way to it, is closed to this user.
    """
    try:
        os.listdir(state)  # noqa: PTH208 - iterdir is lazy before Python 3.13
    except PermissionError as error:
        raise UnavailableError(f"{state}: closed to this user; use sudo") from error
    except OSError:
        return False
    return True
