"""`secondlook`: the device's command line. Shell.

Commands are imported when they are called, so that a help page does not load OpenCV first.
"""
# ruff: noqa: PLC0415 - see above

import logging
import sys
import time
from enum import Enum
from pathlib import Path
from typing import Annotated, Final

import typer

from agent import __version__
from agent.contract.errors import BadContentError, SecondlookError, UnavailableError

BAD_CONTENT: Final = 1
UNAVAILABLE: Final = 3
SETTLE_S: Final = "60"
DEFAULT_CONFIG: Final = Path("/etc/secondlook/device.toml")

app = typer.Typer(
    name="secondlook",
    help="Cameras that know when to ask: the device's agent and its field tools.",
    epilog="Exit codes: 0 well, 1 something is wrong, 2 usage, 3 something is out of reach.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
model_app = typer.Typer(
    help="Look into model files; fetch public ones.", no_args_is_help=True, add_completion=False
)
app.add_typer(model_app, name="model")


class LogLevel(str, Enum):
    """What is logged, from all to least."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


profile_app = typer.Typer(help="What can be recognised.", invoke_without_command=True)
app.add_typer(profile_app, name="profile")

ConfigFile = Annotated[
    Path, typer.Option("--config", "-c", metavar="FILE", help="The device's own file (TOML).")
]
MaybeConfig = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", metavar="FILE",
        help=f"The device's own file; without it and --state-dir: {DEFAULT_CONFIG}.",
    ),
]  # fmt: skip
StateDir = Annotated[
    Path | None,
    typer.Option("--state-dir", metavar="DIR", help="The state folder itself, without a config."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"secondlook {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    # Commands say what there is to say; only `run` logs.
    logging.getLogger().addHandler(logging.NullHandler())


def _file(config: Path | None, state_dir: Path | None) -> Path | None:
    return config or (None if state_dir else DEFAULT_CONFIG)


@app.command("run")
def run_command(
    config: ConfigFile = DEFAULT_CONFIG,
    until_settled: Annotated[
        float | None,
        typer.Option(
            metavar="[SECONDS]", min=0.0,
            help="End by itself: when all sources have ended and every look has its receipt and"
            f" verdict, or after so many seconds ({SETTLE_S}) without news (exit 3).",
        ),
    ] = None,
    log_level: Annotated[
        LogLevel | None, typer.Option(help="In place of the settings' level.")
    ] = None,
    draw: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Draw what is seen into PNG files, 2,000 at most."),
    ] = None,
) -> None:  # fmt: skip
    """Watch the cameras: recognise, ask, be answered."""
    from agent.commands.run import run

    raise typer.Exit(run(config, until_settled, log_level.value if log_level else None, draw))


@app.command("classify")
def classify_command(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Pictures.")],
    model: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A .tflite file, or a shipped model's name; without it the profile's shipped one.",
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Labels, one a line; without it the model's own."),
    ] = None,
    profile: Annotated[
        str, typer.Option(metavar="NAME", help="Whose shipped model.")
    ] = "traffic-signs",
    top: Annotated[int, typer.Option(min=1, metavar="N", help="Most answers a picture.")] = 5,
    min_score: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="Least score; for detection models 0.3, else 0."),
    ] = None,
    pixel_range: Annotated[
        tuple[float, float] | None,
        typer.Option(metavar="LOW HIGH", help="Input values of black and white, for float models."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what is on pictures, without camera and cloud."""
    from agent.commands.classify import Wish, classify

    wish = Wish(model, labels, profile, pixel_range, top, min_score, as_json)
    raise typer.Exit(classify(images, wish))


@app.command("watch")
def watch_command(
    config: MaybeConfig = None,
    state_dir: StateDir = None,
    once: Annotated[bool, typer.Option("--once", help="Print one view and end.")] = False,
) -> None:
    """Show sightings and looks, live."""
    from agent.commands.watch import watch

    raise typer.Exit(watch(_file(config, state_dir), state_dir, once))


@app.command("spool")
def spool_command(
    config: MaybeConfig = None, state_dir: StateDir = None, as_json: AsJson = False
) -> None:
    """Show the looks that wait for their receipt."""
    from agent.commands.spool import spool

    raise typer.Exit(spool(_file(config, state_dir), state_dir, as_json, time.time()))


@app.command("advice")
def advice_command(
    config: MaybeConfig = None, state_dir: StateDir = None, as_json: AsJson = False
) -> None:
    """Show what the cloud asks of this device."""
    from agent.commands.advice import advice

    raise typer.Exit(advice(_file(config, state_dir), state_dir, as_json, time.time()))


@app.command("doctor")
def doctor_command(config: ConfigFile = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Find out why this device is silent, with remedies."""
    from agent.base.clock import SystemClock
    from agent.commands.doctor import doctor

    raise typer.Exit(doctor(config, as_json, SystemClock()))


@model_app.command("show")
def model_show_command(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE", show_default=False,
            help="A .tflite file, or a shipped model's name; without it: which are shipped.",
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Labels, one a line; without it the model's own."),
    ] = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Show what a model file holds: tensors, manifest, labels."""
    from agent.commands.model import show

    raise typer.Exit(show(file, labels, as_json))


@model_app.command("pull")
def model_pull_command(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", show_default=False, help="Which; without it: which there are."
        ),
    ] = None,
    to: Annotated[Path, typer.Option(metavar="DIR", help="Where to put it.")] = Path(),
    mirror: Annotated[
        str,
        typer.Option(
            "--from", metavar="URL", show_default=False,
            help="Another address of the model file; its hash must be the known one.",
        ),
    ] = "",
    time_limit: Annotated[
        float, typer.Option(metavar="SECONDS", min=1.0, help="For each file.")
    ] = 600.0,
) -> None:  # fmt: skip
    """Fetch a public model with its labels, and verify it."""
    from agent.base.clock import SystemClock
    from agent.commands.pull import Order, list_stock, pull
    from agent.contract.stock import stock_model

    if name is None:
        raise typer.Exit(list_stock())
    raise typer.Exit(pull(Order(stock_model(name), to, mirror, time_limit), SystemClock()))


@profile_app.callback()
def profile_command(context: typer.Context) -> None:
    """List the shipped profiles; `profile check` looks at one."""
    from agent.commands.profile import list_profiles

    if context.invoked_subcommand is None:
        list_profiles()


@profile_app.command("check")
def profile_check_command(
    profile: Annotated[str, typer.Argument(help="Name, or path of a TOML file.")],
) -> None:
    """Say what a profile holds, or what is wrong with it."""
    from agent.commands.profile import check

    check(profile)


def with_seconds(args: list[str]) -> list[str]:
    """Give `--until-settled` its usual value where it has none.

    Typer knows no option with an optional value.
    """
    if "--until-settled" not in args:
        return args
    after = args.index("--until-settled") + 1
    if after < len(args) and not args[after].startswith("-"):
        return args
    return [*args[:after], SETTLE_S, *args[after:]]


def main() -> None:
    """Run the command line; errors that were expected are one line, not a traceback."""
    try:
        app(with_seconds(sys.argv[1:]))
    except BadContentError as error:
        sys.exit(_complain(error, BAD_CONTENT))
    except UnavailableError as error:
        sys.exit(_complain(error, UNAVAILABLE))


def _complain(error: SecondlookError, code: int) -> int:
    from agent.contract.redact import redacted

    typer.echo(f"secondlook: {redacted(' '.join(str(error).split()))}", err=True)
    return code
