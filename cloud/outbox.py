"""Everything periodic that goes down to devices, in one thread. Shell."""

import logging
import threading

from agent.clock import Clock
from agent.contract.errors import BadContentError, UnavailableError
from cloud.adviser import Adviser
from cloud.config import CloudConfig
from cloud.verdicts import VerdictPublisher

log = logging.getLogger(__name__)


class Outbox:
    """Verdicts every few hundred milliseconds, advice every minute or so."""

    def __init__(
        self, publisher: VerdictPublisher, adviser: Adviser, config: CloudConfig, clock: Clock
    ) -> None:
        """Wire the parts."""
        self._publisher = publisher
        self._adviser = adviser
        self._config = config
        self._clock = clock
        self._advise_at = 0.0
        self.progress = 0

    def run(self, stop: threading.Event) -> None:
        """Work until told to stop."""
        while not stop.is_set():
            self.progress += 1
            try:
                self._publisher.step()
                self._adviser.repeat()
                if self._clock.monotonic() >= self._advise_at:
                    self._advise_at = self._clock.monotonic() + self._config.advice.period_s
                    self._adviser.step()
            except (UnavailableError, BadContentError) as error:
                log.warning("outbox_waits %s", error)
            stop.wait(self._config.verdicts.period_s)
