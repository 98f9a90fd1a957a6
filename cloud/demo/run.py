"""`make demo`: a device, a broker and a worker on one machine, watched to the end. Shell."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from rich.console import Console

from agent.base.clock import SystemClock
from agent.camera.scene.options import parse_scene
from agent.camera.scene.world import MATCH_IOU, Scene
from agent.contract.errors import BadContentError, UnavailableError
from agent.vision.shipped import load_profile
from agent.vision.types import Box
from cloud.config import CloudConfig, parse_cloud_config
from cloud.demo.broker import EmbeddedBroker
from cloud.demo.recount import AskedLook, Figures, read_looks, recount, rows_of
from cloud.demo.screen import Check, Screen, Told
from cloud.demo.standin import StandIn, Truth
from cloud.keys import init_keys
from cloud.worker import Worker

DEVICE: Final = "demo-cam"
SCENE: Final = (
    "scene://7?fps=10&frames=1000&signs_per_minute=120&conditions=day,fog,rain,blur,glare"
)
ERROR_RATE: Final = 0.07
MIN_LOOKS: Final = 100
READABLE_SIDE: Final = 18
"""Pixels; below it the stand-in says what an honest labeller would: unreadable."""
READABLE_SHARE: Final = 0.4
"""Share of a sign that must be seen."""
LIMIT_S: Final = 150.0
POLL_S: Final = 0.7
PROFILE: Final = "traffic-signs"


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    live: bool = False
    json_file: Path | None = None
    keep: Path | None = None
    scene: str = SCENE


def demo(options: Options, console: Console) -> bool:
    """Run the whole loop and reckon. True when all of it really happened.

    Raises:
        BadContentError: the folder to keep is not empty, or an option is wrong.
        UnavailableError: a part did not come up.
    """
    scene = Scene(parse_scene(options.scene))
    with ExitStack() as stack:
        root = stack.enter_context(_folder(options.keep))
        truths = Truths(root, lambda look: truth_of(scene, look))
        broker = stack.enter_context(EmbeddedBroker())
        labels = load_profile(PROFILE).labels
        stand_in = stack.enter_context(StandIn(truths.of, labels, ERROR_RATE))
        config = _cloud_config(root, broker.url, None if options.live else stand_in.url)
        init_keys(root / "keys")
        _quiet(root)
        screen = stack.enter_context(Screen(console, _notes(options.live)))
        with Worker(config, SystemClock()), _device(root, broker.url, options.scene) as device:
            figures = _follow(root, truths, device, screen)
        figures = recount(root, truths.truth_of)
    checks = check(figures)
    screen.reckon(figures, checks, options.live)
    if options.json_file:
        options.json_file.write_text(json.dumps(asdict(figures), indent=1) + "\n")
    if options.keep:
        console.print(f"kept in {options.keep}: device/ (ledger, spool), cloud/ (database, shards)")
    return all(c.passed for c in checks)


def check(figures: Figures) -> list[Check]:
    """Return what must have happened, and whether it did."""
    return [
        Check(f"at least {MIN_LOOKS} looks were accepted", figures.looks >= MIN_LOOKS),
        Check("every look was answered", figures.labelled == figures.looks),
        Check("every answer reached the device", figures.verdicts == figures.looks),
        Check("no accepted look was lost", figures.lost == 0),
        Check("no look was stored twice", figures.duplicated == 0),
        Check("second looks revised sightings", figures.revised > 0),
        Check("the device accepted signed advice", figures.advice >= 1),
    ]


class Truths:
    """The scene's truth by look id, for the stand-in."""

    def __init__(self, root: Path, truth_of: Callable[[AskedLook], Truth]) -> None:
        """Look ids are found in the worker's database."""
        self._database = root / "cloud" / "secondlook.sqlite"
        self._looks: dict[str, AskedLook] = {}
        self.truth_of = truth_of

    def of(self, look_id: str) -> Truth | None:
        """Return the truth of one look; None where no such look is stored."""
        if look_id not in self._looks:
            self._looks = {look.look_id: look for look in read_looks(self._database)}
        look = self._looks.get(look_id)
        return self.truth_of(look) if look else None


def _follow(
    root: Path, truths: Truths, device: "subprocess.Popen[bytes]", screen: Screen
) -> Figures:
    """Show progress until everything asked is answered and advised, or the time is up."""
    started = time.monotonic()
    while True:
        figures = recount(root, truths.truth_of)
        ended = device.poll() is not None or _ended(root)
        screen.show("the drive is over, the rest comes in" if ended else "driving", figures,
                    _told(root))  # fmt: skip
        done = ended and all(c.passed for c in check(figures))
        if done or device.poll() is not None or time.monotonic() - started > LIMIT_S:
            return figures
        time.sleep(POLL_S)


def _ended(root: Path) -> bool:
    rows = rows_of(root / "cloud" / "secondlook.sqlite", "SELECT status FROM devices")
    cameras = json.loads(rows[0][0]).get("cameras", []) if rows and rows[0][0] else []
    return bool(cameras) and all(c["state"] == "ended" for c in cameras)


def _told(root: Path) -> list[Told]:
    rows = rows_of(
        root / "device" / "notebook.db",
        "SELECT label, was, state FROM sightings WHERE state <> 'provisional'"
        " ORDER BY sighting_id DESC LIMIT 8",
    )
    return [Told(label or "nothing", was or "nothing", state) for label, was, state in rows]


def truth_of(scene: Scene, look: AskedLook) -> Truth:
    """Return what a look shows, and whether anybody could tell from its pixels."""
    box = Box(*look.box)
    best = max(scene.truth(look.frame), key=lambda item: item.box.overlap(box), default=None)
    if best is None or best.box.overlap(box) < MATCH_IOU:
        return Truth(None, readable=True)
    clear = best.size >= READABLE_SIDE and best.visibility >= READABLE_SHARE
    return Truth(best.label, readable=clear or best.label is None)


@contextmanager
def _device(root: Path, broker: str, scene: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run the real agent as its own process."""
    config = root / "device.toml"
    config.write_text(_device_toml(root, broker, scene))
    command = [sys.executable, "-m", "agent", "run", "--config", str(config)]
    with (
        (root / "device.log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as process,
    ):
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def _device_toml(root: Path, broker: str, scene: str) -> str:
    return f"""\
device = "{DEVICE}"
profile = "{PROFILE}"
state_dir = "{root / "device"}"

[[camera]]
name = "road"
uri = "{scene}"

[broker]
url = "{broker}"
protocol = "3.1.1"

[trust]
root_file = "{root / "keys" / "root.json"}"
repository = "file://{root / "keys" / "repository"}"

[spool]
ledger = true

[limits]
looks_per_day = 5000

[settings]
looks_per_day = 5000
bytes_per_day = 50000000
audit_share = 0.1
telemetry_period_s = 5
"""


def _cloud_config(root: Path, broker: str, stand_in: str | None) -> CloudConfig:
    """Return the worker's config; without a stand-in, the real model's address and money."""
    label: dict[str, object] = {"concurrency": 4}
    if stand_in:
        label |= {"base_url": stand_in, "model": "stand-in", "api_key_env": ""}
    elif not os.environ.get("OPENAI_API_KEY"):
        raise BadContentError("--live needs OPENAI_API_KEY (and OPENAI_BASE_URL where not OpenAI)")
    elif base := os.environ.get("OPENAI_BASE_URL"):
        label["base_url"] = base
    if model := os.environ.get("SECONDLOOK_MODEL"):
        label["model"] = model
    return parse_cloud_config(
        {
            "state_dir": str(root / "cloud"),
            "profile": PROFILE,
            "broker": {"url": broker, "protocol": "3.1.1"},
            "keys": {"dir": str(root / "keys")},
            "label": label,
            "advice": {"period_s": 2, "min_looks": 50},
        },
        "demo",
    )


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        folder = Path(tempfile.mkdtemp(prefix="secondlook-demo-"))
        try:
            yield folder
        finally:
            shutil.rmtree(folder)
        return
    if keep.exists() and any(keep.iterdir()):
        raise BadContentError(f"--keep {keep}: not empty; name a new folder")
    try:
        keep.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnavailableError(f"--keep {keep}: {error.strerror}") from error
    yield keep.resolve()


def _quiet(root: Path) -> None:
    """Send the worker's log to a file: the screen is for the demo."""
    handler = logging.FileHandler(root / "cloud.log")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


def _notes(live: bool) -> tuple[str, ...]:
    labeller = (
        "The labeller is REAL and costs MONEY (capped at $1 a day)."
        if live
        else "The labeller is a STAND-IN: a local server that speaks the OpenAI wire"
        f" format and knows the scene's truth; it errs on {ERROR_RATE:.0%} of the looks."
    )
    return (
        "A device (own process), a broker and the cloud worker, all real, on this machine.",
        (
            "The camera is a renderer (scene://) that drives past signs drawn by us. Regions are"
            " found by colour, so many are no signs at all: the second look says 'nothing'."
        ),
        labeller,
    )
