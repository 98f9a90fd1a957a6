"""The device's own line on a temporary folder: built as the daemon builds it, no broker."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.base.clock import SystemClock
from agent.contract.config import DeviceConfig, parse_config
from agent.device import build_vision
from agent.journal import Journal
from agent.notebook import Notebook
from agent.pipeline import Parts, Pipeline
from agent.spool import Spool
from agent.trust import KeyKeeper
from agent.twin import Twin
from agent.vision.shipped import load_profile
from bench.common import DATA

CAMERA = "front"
MOBILENET = DATA / "models" / "mobilenet_v2_1.0_224_quant.tflite"
IMAGENET = DATA / "models" / "imagenet_labels.txt"


@dataclass(frozen=True, slots=True)
class Line:
    """Everything between a frame and the disk."""

    parts: Parts
    pipeline: Pipeline
    config: DeviceConfig


def device_config(folder: Path, model: str, uri: str, **tables: dict[str, Any]) -> dict[str, Any]:
    """Return a device's file with one whole-frame camera.

    Args:
        folder: The state folder.
        model: Model file; empty: the one that the profile ships.
        uri: The camera's.
        tables: More tables of the file, e.g. `settings={...}`.
    """
    is_stock = model == str(MOBILENET)
    labels = str(IMAGENET) if is_stock else ""
    return {
        "device": "bench",
        # Of the shipped profiles the one that knows some of ImageNet's classes.
        "profile": "surveillance" if is_stock else "traffic-signs",
        "state_dir": str(folder),
        "camera": [{"name": CAMERA, "uri": uri, "propose": {"kind": "whole-frame"}}],
        "model": {"file": model, "labels": labels},
        **tables,
    }


@contextmanager
def line(document: dict[str, Any]) -> Iterator[Line]:
    """Build the line of a device's file; its journal thread runs inside the context."""
    config = parse_config(document, "bench")
    folder = Path(config.state_dir)
    profile = load_profile(config.profile)
    engine, classifier, lanes = build_vision(config, profile)
    clock = SystemClock()
    notebook = Notebook(folder)
    spool = Spool(folder / "spool", config.spool, clock)
    journal = Journal(spool, notebook, threading.Event())
    twin = Twin(config, notebook, clock, KeyKeeper(config.trust, folder / "tuf", clock))
    parts = Parts(engine, classifier, profile, lanes, journal, twin, config, clock)
    stop = threading.Event()
    writer = threading.Thread(target=journal.run, args=(stop,))
    writer.start()
    try:
        yield Line(parts, Pipeline(parts, None), config)
    finally:
        stop.set()
        writer.join()
        spool.close()
        notebook.close()
