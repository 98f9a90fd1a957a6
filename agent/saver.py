"""What asking goes by, saved: a restart neither refills a budget nor asks the same again. Shell.

As rarely as will do, for an SD card wears with every write. The budget is a few bytes and counts
at once: a crash must not give back what was spent, or one that comes again and again would spend
without end. So it is written at the first step after something was asked, and synced to the disk
each half minute, which only a power cut can tell apart. What was asked about is some kilobytes, and
a crash that forgets the last half hour of it costs a repetition or two.
"""

import logging
from typing import Final

from agent.base.clock import Clock
from agent.contract.errors import UnavailableError
from agent.notebook import Notebook
from agent.pipeline import Pipeline

log = logging.getLogger(__name__)

SPENT_S: Final = 30.0
"""The budget is on disk so long after the last time, if something was asked since ..."""
FILLED_S: Final = 900.0
"""... and so long after in any case: it fills."""
MEMORY_S: Final = 1_800.0


class Saver:
    """Saves a pipeline's budget and memory. Belongs to one thread."""

    def __init__(self, pipeline: Pipeline, notebook: Notebook, clock: Clock) -> None:
        """Begin with everything saved."""
        self._pipeline = pipeline
        self._notebook = notebook
        self._clock = clock
        self._budget_at = self._memory_at = clock.monotonic()
        self._budget_kept = self._memory_kept = self._jotted = pipeline.counters.kept

    def step(self) -> None:
        """Save what is due."""
        now, kept = self._clock.monotonic(), self._pipeline.counters.kept
        if now - self._budget_at >= (SPENT_S if kept != self._budget_kept else FILLED_S):
            memory = kept != self._memory_kept and now - self._memory_at >= MEMORY_S
            self.save(memory=memory)
        elif kept != self._jotted:
            self._jot(kept)

    def save(self, *, memory: bool = True) -> None:
        """Save the budget now, and what was asked about."""
        now, kept = self._clock.monotonic(), self._pipeline.counters.kept
        facts: dict[str, object] = {"budget": self._pipeline.levels}
        if memory:
            facts["asked"] = self._pipeline.memory
        try:
            self._notebook.remember(**facts)
        except UnavailableError as error:
            log.debug("budget_not_saved reason=%s", error)
            return
        self._budget_at, self._budget_kept, self._jotted = now, kept, kept
        if memory:
            self._memory_at, self._memory_kept = now, kept

    def _jot(self, kept: int) -> None:
        try:
            self._notebook.jot(budget=self._pipeline.levels)
        except UnavailableError as error:
            log.debug("budget_not_saved reason=%s", error)
            return
        self._jotted = kept
