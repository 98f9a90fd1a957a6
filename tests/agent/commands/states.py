"""State folders as a daemon leaves them, made by the daemon's own parts."""

import os
from pathlib import Path
from typing import Any

from agent.alive import Alive, pid_namespace, write_alive
from agent.base.clock import SystemClock
from agent.contract.config import SpoolConfig
from agent.contract.messages import CameraReport, Reported, Status, Telemetry
from agent.notebook import Note, Notebook
from agent.spool import Spool
from tests.makers import an_id, look


def note(n: int, now: float, **changes: Any) -> Note:
    values: dict[str, Any] = {
        "sighting_id": an_id(n), "camera": "road", "state": "provisional", "label": "Stop",
        "was": None, "score": 0.5, "first_seen": now - 60, "last_seen": now - 60 + n, "frames": 5,
        "box": (1, 2, 30, 40), "model": "0123456789abcdef",
    }  # fmt: skip
    return Note(**{**values, **changes})


def fill_notebook(state: Path, notes: list[Note], **facts: Any) -> None:
    notebook = Notebook(state)
    notebook.note(notes)
    notebook.remember(**facts)
    notebook.close()


def fill_spool(state: Path, looks: int, **changes: Any) -> list[str]:
    spool = Spool(state / "spool", SpoolConfig(), SystemClock())
    ids = spool.put([look(n, device="gate-3", camera="road", **changes) for n in range(looks)])
    spool.close()
    return ids


def leave_sign(state: Path, now: float, **changes: Any) -> None:
    """A sign of life of this very process, which surely runs."""
    camera = CameraReport(camera="road", state="ok", since=now - 30)
    status = Status(device="gate-3", online=True, at=now, cameras=(camera,))
    values: dict[str, Any] = {
        "at": now, "pid": os.getpid(), "namespace": pid_namespace(), "broker": "", "looks": 7,
        "receipts": 4, "receipted_at": now - 5, "verdicts": 3, "status": status,
        "reported": Reported(
            device="gate-3", at=now, agent="0.1.0", profile="traffic-signs", model="0" * 16
        ),
        "telemetry": Telemetry(
            device="gate-3", at=now, uptime_s=30, frames=450, fps=15, invoke_ms=2.5, sightings=9,
            looks_kept=7, spool_looks=3, spool_bytes=6_000, spool_evicted=0,
        ),
    }  # fmt: skip
    write_alive(state, Alive.model_validate({**values, **changes}))
