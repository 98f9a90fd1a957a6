"""What the device says about itself: status, reported, telemetry. Shell."""

from collections.abc import Callable
from dataclasses import dataclass

from agent import __version__
from agent.base.clock import Clock
from agent.contract.config import DeviceConfig
from agent.contract.messages import CameraReport, Reported, Status, Telemetry
from agent.journal import Journal
from agent.machine import clock_synced, temperature_c
from agent.notebook import Notebook
from agent.pipeline import Pipeline
from agent.spool import Spool
from agent.twin import Twin


@dataclass(frozen=True, slots=True)
class Reporter:
    """Gathers figures from the parts; holds none itself."""

    config: DeviceConfig
    model: str
    cameras: Callable[[], tuple[CameraReport, ...]]
    problems: Callable[[], tuple[str, ...]]
    pipeline: Pipeline
    journal: Journal
    spool: Spool
    notebook: Notebook
    twin: Twin
    clock: Clock
    started: float
    """Monotonic seconds."""
    instance: str

    def status(self) -> Status:
        """Return whether the device works, camera by camera."""
        now = self.clock.now()
        problems = [p for p in (self.journal.problem, *self.problems()) if p]
        if not clock_synced(now):
            problems.append("clock is not synchronised")
        return Status(
            device=self.config.device,
            online=True,
            at=now,
            instance=self.instance,
            cameras=self.cameras(),
            problems=tuple(problems),
        )

    def reported(self) -> Reported:
        """Return what the device runs."""
        return Reported(
            device=self.config.device,
            at=self.clock.now(),
            agent=__version__,
            profile=self.config.profile[-200:],
            model=self.model,
            config_seq=self.twin.seq("desired"),
            advice_seq=self.twin.seq("advice"),
            verdict_seq=int(self.notebook.fact("verdict_seq", 0)),
            config=self.twin.orders.settings.model_dump(mode="json"),
            capabilities=("looks", "verdicts", "advice", "desired"),
            refused=tuple(self.twin.refused),
        )

    def telemetry(self) -> Telemetry:
        """Return rates and counts since the start."""
        counters = self.pipeline.counters
        uptime = self.clock.monotonic() - self.started
        waiting, size = self.spool.totals()
        return Telemetry(
            device=self.config.device,
            at=self.clock.now(),
            uptime_s=uptime,
            frames=counters.frames,
            fps=round(counters.frames / max(uptime, 1e-3), 2),
            invoke_ms=round(counters.invoke_ms, 3),
            sightings=counters.sightings,
            looks_kept=counters.kept,
            looks_dropped=dict(counters.dropped),
            spool_looks=waiting,
            spool_bytes=size,
            spool_evicted=self.spool.evicted,
            temperature_c=temperature_c(),
            score_histogram=tuple(counters.histogram),
        )
