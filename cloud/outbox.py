"""Everything periodic that goes down to devices, in one thread. Shell."""

import logging
import threading
from datetime import datetime, timezone
from pathlib import Path
from typing import Final

from agent.base.clock import Clock
from agent.contract.errors import BadContentError, UnavailableError
from cloud.adviser import Adviser
from cloud.config import CloudConfig
from cloud.keys import renew
from cloud.verdicts import VerdictPublisher

log = logging.getLogger(__name__)

RENEW_S: Final = 3_600.0
"""How often the TUF repository's expiry is looked at."""


class Outbox:
    """Verdicts every few hundred milliseconds, advice every minute, the repository each hour."""

    def __init__(
        self, publisher: VerdictPublisher, adviser: Adviser, config: CloudConfig, clock: Clock
    ) -> None:
        """Wire the parts."""
        self._publisher = publisher
        self._adviser = adviser
        self._config = config
        self._clock = clock
        self._advise_at = 0.0
        self._renew_at = 0.0
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
                self._renew_keys()
            except (UnavailableError, BadContentError) as error:
                log.warning("outbox_waits %s", error)
            stop.wait(self._config.verdicts.period_s)

    def _renew_keys(self) -> None:
        folder = self._config.keys.dir
        if not folder or self._clock.monotonic() < self._renew_at:
            return
        self._renew_at = self._clock.monotonic() + RENEW_S
        if renew(Path(folder), datetime.fromtimestamp(self._clock.now(), timezone.utc)):
            log.info("repository_renewed folder=%s", folder)
