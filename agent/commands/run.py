"""`secondlook run`: the daemon in the foreground. Shell."""

import logging
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Final

import typer

from agent.base.clock import SystemClock
from agent.config_file import load_config
from agent.contract.redact import redacted
from agent.daemon import Daemon
from agent.draw import Sketcher
from agent.spool_files import read_spool

OK: Final = 0
FAILED: Final = 1
GAVE_UP: Final = 3
MOST_DRAWN: Final = 2_000
"""Pictures that `--draw` writes at most."""


class Level(logging.Filter):
    """Lets through what the settings in force ask for: fleet config may change that."""

    def __init__(self, wanted: Callable[[], str]) -> None:
        super().__init__()
        self.wanted = wanted

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a record is important enough."""
        return record.levelno >= int(logging.getLevelName(self.wanted()))


class Lines(logging.Formatter):
    """Time, level, event and its fields; one line a record, and no password in it."""

    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__("%(asctime)s.%(msecs)03dZ %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line (a traceback follows on lines of its own)."""
        return redacted(super().format(record))


def run(
    config_path: Path,
    until_settled: float | None,
    log_level: str | None,
    draw: Path | None = None,
) -> int:
    """Watch the cameras until told to stop.

    Args:
        config_path: The device's file.
        until_settled: Seconds without news after which to give up waiting for receipts and
            verdicts once the sources have ended; None: run for ever.
        log_level: In place of the settings' level.
        draw: Folder for pictures of what is seen; None: nothing is drawn.

    Returns:
        The exit code.

    Raises:
        BadContentError: config, profile or model is wrong.
        UnavailableError: one of them, or the state folder, is out of reach.
    """
    config = load_config(config_path)
    level = set_up_logging(log_level or config.settings.log_level)
    stop = threading.Event()
    stop_politely(stop)
    observer = Sketcher(draw, MOST_DRAWN) if draw else None
    with Daemon(config, SystemClock(), observer) as daemon:
        if log_level is None:
            level.wanted = lambda: daemon.twin.orders.settings.log_level
        well = daemon.watch(stop, until_settled=until_settled)
        failed = daemon.failed
    left = len(read_spool(Path(config.state_dir) / "spool"))
    typer.echo(summary(daemon, left))
    return OK if well else FAILED if failed else GAVE_UP


def summary(daemon: Daemon, left: int) -> str:
    """Return what a run did, in one line; `left` looks still wait for their receipt."""
    counters = daemon.pipeline.counters
    return (
        f"{counters.frames} frames, {counters.sightings} sightings,"
        f" {daemon.spool.accepted} looks accepted, {daemon.uplink.receipted} receipted,"
        f" {daemon.uplink.verdicts} verdicts, {left} left in the spool"
    )


def set_up_logging(level: str) -> Level:
    """Send all logs to standard error as plain lines."""
    wanted = Level(lambda: level)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines())
    handler.addFilter(wanted)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG)
    return wanted


def stop_politely(stop: threading.Event) -> None:
    """Let the first SIGTERM or SIGINT set `stop`, and a second one end the process at once."""

    def on_signal(number: int, _frame: FrameType | None) -> None:
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, signal.SIG_DFL)
        logging.getLogger(__name__).info("stopping signal=%s", signal.Signals(number).name)
        # From another thread: the main one may be inside this very event's lock.
        threading.Thread(target=stop.set, name="stop").start()

    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, on_signal)
