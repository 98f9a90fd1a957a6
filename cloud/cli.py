"""`secondlook-cloud`: the worker's command line. Shell.

Commands are imported when they are called, so that a help page loads no framework.
"""
# ruff: noqa: PLC0415 - see above

import logging
import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from agent import __version__
from agent.contract.errors import BadContentError, SecondlookError, UnavailableError
from agent.contract.redact import redacted

BAD_CONTENT: Final = 1
UNAVAILABLE: Final = 3

app = typer.Typer(
    name="secondlook-cloud",
    help="The cloud side: takes looks in, asks for second looks, sends verdicts and advice.",
    epilog="Exit codes: 0 well, 1 something is wrong, 2 usage, 3 something is out of reach.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
keys_app = typer.Typer(help="The fleet's trust root.", no_args_is_help=True)
fleet_app = typer.Typer(help="What devices are wanted to do.", no_args_is_help=True)
app.add_typer(keys_app, name="keys")
app.add_typer(fleet_app, name="fleet")

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
Broker = Annotated[str | None, typer.Option(metavar="URL", help="In place of broker.url.")]
KeysDir = Annotated[Path | None, typer.Option("--keys", metavar="DIR", help="The folder of keys.")]
Change = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change the recipe; repeatable."),
]
Epochs = Annotated[int | None, typer.Option(help="In place of the recipe's.")]
Seed = Annotated[int | None, typer.Option(help="In place of the recipe's.")]
Terms = Annotated[str, typer.Option(help="Licence of the weights.")]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"secondlook-cloud {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def _config(config: Path | None, state_dir: Path | None, **overrides: Any) -> Any:  # noqa: ANN401
    from cloud.config_file import default_file, load_cloud_config

    changes = {name.replace("__", "."): value for name, value in overrides.items()}
    changes["state_dir"] = str(state_dir) if state_dir else None
    return load_cloud_config(config or default_file(), changes)


def _changes(pairs: list[str] | None, epochs: int | None, seed: int | None) -> dict[str, object]:
    from cloud.train.recipe import parse_changes

    options = {"epochs": epochs, "seed": seed}
    # An option that is not given undoes no --set.
    given = {key: value for key, value in options.items() if value is not None}
    return {**parse_changes(pairs or ()), **given}


@app.command()
def run(
    config: Config = None,
    state_dir: StateDir = None,
    broker: Broker = None,
    database: Annotated[
        str | None, typer.Option(metavar="URL", help="In place of database_url.")
    ] = None,
    objects: Annotated[
        str | None, typer.Option(metavar="URL", help="In place of objects_url.")
    ] = None,
    profile: Annotated[str | None, typer.Option(help="Name, or path of a TOML file.")] = None,
    llm: Annotated[
        str | None, typer.Option(metavar="URL", help="In place of label.base_url.")
    ] = None,
    keys: KeysDir = None,
) -> None:
    """Run the worker until it is told to stop."""
    loaded = _config(
        config, state_dir, broker__url=broker, database_url=database, objects_url=objects,
        profile=profile, label__base_url=llm, keys__dir=str(keys) if keys else None,
    )  # fmt: skip
    # After the config, so that an error in it is told at once.
    from cloud.commands.run import run as work

    work(loaded)


@app.command()
def status(config: Config = None, state_dir: StateDir = None, json: AsJson = False) -> None:
    """Show what was taken in, answered, sent and spent."""
    from rich.console import Console

    from cloud.commands.status import show_status

    show_status(_config(config, state_dir), Console(), as_json=json)


@app.command()
def label(config: Config = None, state_dir: StateDir = None) -> None:
    """Ask about the looks that wait now, once each, and exit."""
    from cloud.commands.run import label_waiting

    done, waiting = label_waiting(_config(config, state_dir))
    typer.echo(f"{done} answered, {waiting} wait on")


@app.command()
def advice(config: Config = None, state_dir: StateDir = None, json: AsJson = False) -> None:
    """Show what is advised now, and what devices were told."""
    from rich.console import Console

    from cloud.commands.status import show_advice

    show_advice(_config(config, state_dir), Console(), as_json=json)


@app.command()
def audit(
    config: Config = None,
    state_dir: StateDir = None,
    *,
    days: Annotated[float, typer.Option(min=0.0, help="Looks received in so many days.")] = 30.0,
    device: Annotated[str, typer.Option(metavar="DEVICE", help="One device alone.")] = "",
    by_device: Annotated[bool, typer.Option("--by-device", help="A line a device too.")] = False,
    labeller_error: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, help="Share of second looks that may be wrong themselves."),
    ] = 0.0,
    json: AsJson = False,
) -> None:
    """Estimate how often devices are wrong, from sightings drawn by chance alone."""
    from rich.console import Console

    from agent.base.clock import SystemClock
    from cloud.commands.audit import show_audit

    since = SystemClock().now() - days * 86_400
    show_audit(
        _config(config, state_dir), Console(), since, device, labeller_error,
        by_device=by_device, as_json=json,
    )  # fmt: skip


@app.command()
def train(
    profile: Annotated[str, typer.Option(help="Name, or path of a TOML file.")],
    data: Annotated[Path, typer.Option(help="Folder of labelled images, or an .npz.")],
    out: Annotated[Path, typer.Option(help="The model file to write.")],
    *,
    background: Annotated[
        Path | None,
        typer.Option(help="Folder of annotated scenes: what is no object is cut from them."),
    ] = None,
    teacher: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="A trained .keras network to learn from; repeatable."),
    ] = None,
    final: Annotated[
        Path | None,
        typer.Option(
            metavar="MODEL",
            help="A model file of an earlier run: its recipe again, on held-back images as well.",
        ),
    ] = None,
    start: Annotated[
        Path | None, typer.Option(metavar="MODEL", help="A model file that learns more from DATA.")
    ] = None,
    replay: Annotated[
        Path | None, typer.Option(help="With --start: a folder of what it knew before.")
    ] = None,
    change: Change = None,
    epochs: Epochs = None,
    seed: Seed = None,
    terms: Terms = "",
) -> None:
    """Train a classifier and write its int8 model file."""
    from cloud.train.command import train as fit

    fit(
        profile, data, out, background=background, teachers=tuple(teacher or ()),
        development=final, start=start, replay=replay, terms=terms,
        changes=_changes(change, epochs, seed),
    )  # fmt: skip


@app.command("train-detector")
def train_detector(
    scenes: Annotated[Path, typer.Option(help="Folder with annotated scenes.")],
    out: Annotated[Path, typer.Option(help="The model file to write.")],
    signs: Annotated[Path | None, typer.Option(help="Folder with sign crops to paste.")] = None,
    ignore: Annotated[
        list[str] | None, typer.Option(metavar="LABEL", help="Label that is no sign; may repeat.")
    ] = None,
    change: Change = None,
    epochs: Epochs = None,
    seed: Seed = None,
    terms: Terms = "",
) -> None:
    """Train a detector of signs in full frames and write its int8 model file."""
    from cloud.train.detector.command import train_detector as fit

    fit(scenes, out, signs, ignore or (), terms=terms, changes=_changes(change, epochs, seed))


@app.command()
def evaluate(
    model: Annotated[Path, typer.Argument(help="The model file.")],
    data: Annotated[Path, typer.Option(help="Folder of labelled images, or an .npz.")],
    *,
    split: Annotated[str | None, typer.Option(help="One split; without it all images.")] = None,
    labels: Annotated[Path | None, typer.Option(help="Label file of a stock model.")] = None,
    profile: Annotated[
        str, typer.Option(help="Whose aliases the data may use; else the model's.")
    ] = "",
    whole_images: Annotated[bool, typer.Option(help="Leave annotated boxes aside.")] = False,
    corrupt: Annotated[
        str | None,
        typer.Option(metavar="KIND:SEVERITY", help="Spoil the images first, as by fog:3."),
    ] = None,
    classes: Annotated[
        list[str] | None,
        typer.Option(metavar="LABEL", help="Detector: a class that counts, of several."),
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option(metavar="LABEL", help="Detector: in place of the manifest's; may repeat."),
    ] = None,
    json: AsJson = False,
) -> None:
    """Measure a model file with the device's own code."""
    from cloud.commands.evaluate import Wish, measure

    measure(Wish(
        model, data, split, labels, profile, whole_images, corrupt, classes, ignore, json
    ))  # fmt: skip


@keys_app.command("init")
def keys_init(folder: Annotated[Path, typer.Argument(metavar="DIR")]) -> None:
    """Make the trust root, the config key and the first repository in a new folder."""
    from cloud.keys import init_keys

    made = init_keys(folder)
    typer.echo(f"give each device     {made.root_file}")
    typer.echo(f"serve over HTTPS     {made.repository}")
    for path in made.online:
        typer.echo(f"stays with worker    {path}")
    for path in made.offline:
        typer.echo(f"take OFFLINE now     {path}")


@fleet_app.command("set")
def fleet_set(
    device: Annotated[str, typer.Argument(metavar="DEVICE")],
    settings: Annotated[list[str], typer.Argument(metavar="KEY=VALUE...")],
    replace: Annotated[bool, typer.Option(help="Forget what was wanted before.")] = False,
    config: Config = None,
    state_dir: StateDir = None,
    broker: Broker = None,
    keys: KeysDir = None,
) -> None:
    """Sign settings for a device and publish them."""
    from agent.base.clock import SystemClock
    from cloud.fleet import parse_changes, set_desired

    # What the session logs is said by the error, once.
    logging.getLogger("agent.base.link").addHandler(logging.NullHandler())

    changes = parse_changes(settings)
    folder = str(keys) if keys else None
    loaded = _config(config, state_dir, broker__url=broker, keys__dir=folder)
    order = set_desired(loaded, device, changes, SystemClock(), replace=replace)
    typer.echo(f"{device}: wanted under sequence {order.seq}, published")


@fleet_app.command("show")
def fleet_show(
    device: Annotated[str, typer.Argument(metavar="[DEVICE]")] = "",
    config: Config = None,
    state_dir: StateDir = None,
    json: AsJson = False,
) -> None:
    """Show what devices are wanted to do and what they report."""
    from rich.console import Console

    from cloud.commands.status import show_fleet
    from cloud.database import open_database
    from cloud.fleet import as_json, twins

    engine = open_database(_config(config, state_dir).database, create=False)
    found = twins(engine, device)
    engine.dispose()
    if device and not found:
        raise BadContentError(
            f"{device}: no such device was heard or told anything; `fleet show` lists them"
        )
    if json:
        typer.echo(as_json(found))
    else:
        show_fleet(found, Console())


@app.command()
def demo(
    live: Annotated[
        bool, typer.Option("--live", help="Ask the real model of OPENAI_API_KEY: costs money.")
    ] = False,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the figures.")] = None,
    keep: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Leave ledger, spool, database and shards.")
    ] = None,
) -> None:
    """Run the whole loop on this machine: no camera, no account, no key."""
    from rich.console import Console

    from cloud.demo.run import Options
    from cloud.demo.run import demo as play

    if not play(Options(live=live, json_file=json, keep=keep), Console()):
        raise typer.Exit(BAD_CONTENT)


def main() -> None:
    """Run the command line; errors that were expected are one line, not a traceback."""
    try:
        app()
    except BadContentError as error:
        sys.exit(_complain(error, BAD_CONTENT))
    except UnavailableError as error:
        sys.exit(_complain(error, UNAVAILABLE))


def _complain(error: SecondlookError, code: int) -> int:
    typer.echo(f"secondlook-cloud: {redacted(' '.join(str(error).split()))}", err=True)
    return code
