"""The doctor's checks of the agent's parts: cameras, model, trust. Shell."""

import os
import shutil
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

from agent.alive import Alive
from agent.base.clock import Clock
from agent.camera.judge import FrameJudge
from agent.camera.open import open_source
from agent.commands.checks import UNIT
from agent.commands.finding import Attempt, Finding, failed
from agent.commands.quiet import quiet
from agent.commands.words import camera_line
from agent.contract.config import CameraConfig, DeviceConfig, TrustConfig
from agent.contract.errors import SecondlookError, UnavailableError
from agent.contract.messages import CameraReport
from agent.device import build_vision
from agent.machine import CLOCK_FLOOR
from agent.trust import fetch_config_keys
from agent.vision.shipped import load_profile
from agent.vision.types import Image

INVOKES: Final = 9
GRACE_S: Final = 5.0
"""More than a camera's own time limits; then it hangs."""
TRUST_S: Final = 20.0
MODEL_S: Final = 60.0

_CAMERA_REMEDIES: Final = {
    "absent": "check cable, power, address and password; then: journalctl -u secondlook-agent -e",
    "stalled": "check the network to the camera, and restart it",
    "frozen": "restart the camera",
    "black": "uncover the lens, check the light",
    "blinded": "turn it away from the light, reset its exposure",
    "covered": "clean the lens, check its focus",
    "torn": "lower the camera's bit rate, check cable or Wi-Fi; move its own grey masks to `masks`",
    "undecodable": "set the camera to H.264 or MJPEG; check that the uri names a picture source",
}


def check_cameras(config: DeviceConfig, alive: Alive | None, clock: Clock) -> list[Finding]:
    """Does each camera give pictures? Asks the daemon where it runs, else opens them all."""
    if alive:
        reports = {r.camera: r for r in alive.status.cameras}
        return [_reported(c, reports.get(c.name), clock) for c in config.camera]
    attempts = [
        (c, Attempt(f"camera {c.name}", lambda c=c: _first_picture(c, clock)))  # type: ignore[misc]
        for c in config.camera
    ]
    return [_pictured(camera, attempt, clock) for camera, attempt in attempts]


def _reported(camera: CameraConfig, report: CameraReport | None, clock: Clock) -> Finding:
    name = f"camera {camera.name}"
    if report is None:
        return Finding(
            name, "warn", "the running agent does not know it",
            f"sudo systemctl restart {UNIT} reads the config anew",
        )  # fmt: skip
    text = camera_line(report, clock.now())
    if report.state in ("ok", "ended"):
        return Finding(name, "ok", text)
    if report.state == "starting":
        return Finding(name, "warn", text, "wait a few seconds and ask again")
    return Finding(name, "fail", text, _CAMERA_REMEDIES[report.state])


def _first_picture(camera: CameraConfig, clock: Clock) -> Image | None:
    source = open_source(camera, clock)
    try:
        shot = source.read()
    finally:
        source.close()
    return shot.image if shot else None


def _pictured(camera: CameraConfig, attempt: Attempt[Image | None], clock: Clock) -> Finding:
    name = f"camera {camera.name}"
    limit_s = camera.open_timeout_s + camera.read_timeout_s + GRACE_S
    try:
        image = attempt.result(limit_s)
    except SecondlookError as error:
        state = "absent" if isinstance(error, UnavailableError) else "undecodable"
        found = failed(name, error)
        return found if found.remedy else replace(found, remedy=_CAMERA_REMEDIES[state])
    if image is None:
        return Finding(name, "fail", "it ended before its first picture", "check the uri")
    shape = f"{image.shape[1]} x {image.shape[0]} pixels"
    if not FrameJudge(live=False).judge(image, clock.monotonic()).usable:
        return Finding(name, "warn", f"{shape}, but black", _CAMERA_REMEDIES["black"])
    return Finding(name, "ok", f"gives pictures, {shape}")


def check_model(config: DeviceConfig) -> Finding:
    """Does the model load, pass its self-test, and how long does one run take?"""
    try:
        return Attempt("model", lambda: _tried_model(config)).result(MODEL_S)
    except SecondlookError as error:
        return failed("model", error)


def _tried_model(config: DeviceConfig) -> Finding:
    with quiet():
        profile = load_profile(config.profile)
        engine, _, _ = build_vision(config, profile)
    engine.self_test()
    took = []
    for _ in range(INVOKES):
        started = time.perf_counter()
        engine.bare_invoke()
        took.append(time.perf_counter() - started)
    name = Path(engine.model.source).name
    text = (
        f"{name} ({engine.model.version[:8]}): {len(engine.labels)} classes, self-test passed,"
        f" {statistics.median(took) * 1000:.1f} ms a run on {engine.runtime_name}"
    )
    if profile.notice:
        return Finding("model", "warn", f"{text}; {profile.notice}")
    return Finding("model", "ok", text)


def check_trust(config: TrustConfig) -> Finding:
    """Is there a trust root, and does its repository give the config keys?"""
    if not config.root_file:
        return Finding(
            "trust", "warn", "no trust root: signed fleet config and advice are refused",
            "copy root.json of `secondlook-cloud keys init` here; set [trust] root_file",
        )  # fmt: skip
    if not os.access(config.root_file, os.R_OK):
        return Finding(
            "trust", "fail", f"{config.root_file}: not there, or not readable for this user",
            f"copy the fleet's root.json to {config.root_file}; chmod a+r {config.root_file}",
        )  # fmt: skip
    if not config.repository:
        return Finding(
            "trust", "fail", "a trust root, but no repository to fetch the keys from",
            'set [trust] repository = "https://..."',
        )  # fmt: skip
    # Its own cache: a running daemon is not disturbed, and the root file itself is tried.
    folder = Path(tempfile.mkdtemp(prefix="secondlook-doctor-"))
    try:
        keys = Attempt("trust", lambda: fetch_config_keys(config, folder, CLOCK_FLOOR)).result(
            TRUST_S
        )
    except SecondlookError as error:
        return failed("trust", error, _trust_remedy(config, error))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    plural = "key" if len(keys) == 1 else "keys"
    return Finding("trust", "ok", f"{config.repository}: {len(keys)} config {plural}")


def _trust_remedy(config: TrustConfig, error: SecondlookError) -> str:
    if isinstance(error, UnavailableError) and config.repository.startswith("http"):
        return f"curl -I {config.repository.rstrip('/')}/metadata/timestamp.json"
    return ""
