"""The doctor's checks of the machine: config, clock, disk, state, daemon. Shell."""

import getpass
import sqlite3
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from agent.alive import Alive
from agent.base.clock import Clock
from agent.base.files import open_read_only
from agent.commands.finding import Finding, failed
from agent.commands.spool import count, line_of
from agent.commands.words import age, size
from agent.config_file import load_config
from agent.contract.config import DeviceConfig
from agent.contract.errors import BadContentError, UnavailableError
from agent.machine import CLOCK_CEILING, CLOCK_FLOOR, clock_synced, free_bytes
from agent.notebook import read_notebook
from agent.spool_files import read_spool

UNIT: Final = "secondlook-agent"
SERVICE_USER: Final = "secondlook"
SLACK_S: Final = 120.0
"""A clock so little behind signed messages may simply be less exact than the signer's."""


def check_config(path: Path) -> tuple[Finding, DeviceConfig | None]:
    """Read the device's file; None where that fails."""
    try:
        config = load_config(path)
    except BadContentError as error:
        return failed("config", error, f"sudoedit {path}"), None
    except UnavailableError as error:
        return failed("config", error), None
    cameras = f"{len(config.camera)} camera{'s' if len(config.camera) > 1 else ''}"
    return Finding("config", "ok", f"{path}: device {config.device}, {cameras}"), config


def check_clock(state: Path, clock: Clock) -> Finding:
    """Is the time right, as far as one can tell from here?"""
    now = clock.now()
    shown = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    remedy = "sudo timedatectl set-ntp true; timedatectl timesync-status"
    if not CLOCK_FLOOR <= now < CLOCK_CEILING:
        when = "long past" if now < CLOCK_FLOOR else "far in the future"
        return Finding("clock", "fail", f"{shown}: {when}", remedy)
    try:
        behind = float(read_notebook(state).facts.get("time_floor", 0.0)) - now
    except UnavailableError:
        behind = 0.0  # a fresh device, or the line about the state says what is wrong
    if behind > SLACK_S:
        text = f"{shown}: {age(behind)} behind the newest signed message"
        return Finding("clock", "fail", text, remedy)
    if not clock_synced(now):
        return Finding("clock", "warn", f"{shown}, but not synchronised yet", remedy)
    return Finding("clock", "ok", shown)


def check_disk(config: DeviceConfig) -> Finding:
    """Is there room for the spool, and may we write there?"""
    state = Path(config.state_dir)
    there = next(p for p in (state, *state.absolute().parents) if p.exists())
    user = getpass.getuser()
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
        free = free_bytes(there)
    except OSError as error:
        remedy = f"sudo install -d -o {SERVICE_USER} {state}"
        return Finding("disk", "fail", f"{there}: {error.strerror} for user {user}", remedy)
    spool, keep = config.spool.max_bytes, config.spool.min_free_bytes
    taken = _spooled(state)
    if free < keep:
        text = f"{size(free)} free, but {size(keep)} must stay free: no look is kept"
        return Finding("disk", "fail", text, f"sudo du -xhd1 {there} | sort -h; delete what is big")
    if free + taken < spool + keep:
        text = f"{size(free)} free: the spool cannot grow to its {size(spool)}"
        return Finding(
            "disk", "warn", text, f"set [spool] max_bytes = {(free + taken - keep) // 2}"
        )
    return Finding("disk", "ok", f"{size(free)} free in {there}, writable, spool fits")


def _spooled(state: Path) -> int:
    try:
        return sum(item.bytes for item in read_spool(state / "spool"))
    except UnavailableError:
        return 0


def check_state(state: Path, clock: Clock) -> Finding:
    """Are notebook and spool readable and whole?"""
    if not state.exists():
        return Finding("state", "warn", f"{state}: not there yet", f"sudo systemctl start {UNIT}")
    path = state / "notebook.db"
    if not path.exists():
        text = f"{path}: not there yet"
        return Finding("state", "warn", text, f"sudo systemctl start {UNIT}")
    problem = _damage(path)
    if problem:
        remedy = (
            f"sudo systemctl stop {UNIT} && sudo mv {path} {path}.bad"
            f" && sudo systemctl start {UNIT}"
        )
        return Finding("state", "fail", f"{path}: {problem}", remedy)
    try:
        waiting = count(read_spool(state / "spool"), clock.now())
    except UnavailableError as error:
        return failed("state", error)
    return Finding("state", "ok", f"notebook and spool are whole; {line_of(waiting, None)}")


def _damage(path: Path) -> str:
    try:
        with closing(open_read_only(path)) as db:
            verdict = str(db.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.Error as error:
        return str(error)
    return "" if verdict == "ok" else verdict


def check_agent(state: Path, alive: Alive | None, clock: Clock) -> Finding:
    """Does the daemon run?"""
    start = f"sudo systemctl start {UNIT}; journalctl -u {UNIT} -e"
    if alive is None:
        return Finding("agent", "warn", f"not running, as far as {state} tells", start)
    if not alive.runs(clock.now()):
        text = f"not running, last heard of {age(clock.now() - alive.at)} ago"
        return Finding("agent", "warn", text, start)
    figures = alive.telemetry
    text = f"runs for {age(figures.uptime_s)}, {figures.fps:.1f} frames/s, pid {alive.pid}"
    if alive.status.problems:
        told = "; ".join(alive.status.problems)
        return Finding("agent", "warn", f"{text}; says: {told}", "see the lines below")
    return Finding("agent", "ok", text)


def skipped(names: Sequence[str], why: str) -> list[Finding]:
    """Return a line for each check that could not be made."""
    return [Finding(name, "skip", why) for name in names]
