"""Options that several commands of the worker's command line share. Shell."""
# ruff: noqa: PLC0415 - a help page loads no framework

from pathlib import Path
from typing import Annotated, Any

import typer

Config = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", metavar="FILE",
        help="The worker's file (TOML); without it /etc/secondlook/cloud.toml, where there is one.",
    ),
]  # fmt: skip
StateDir = Annotated[
    Path | None, typer.Option("--state-dir", metavar="DIR", help="In place of state_dir.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def load_config(config: Path | None, state_dir: Path | None, **overrides: Any) -> Any:  # noqa: ANN401
    """Return the worker's config, read from its file and changed by options."""
    from cloud.config_file import default_file, load_cloud_config

    changes = {name.replace("__", "."): value for name, value in overrides.items()}
    changes["state_dir"] = str(state_dir) if state_dir else None
    return load_cloud_config(config or default_file(), changes)
