"""`secondlook-cloud run` and `label`: the worker in the foreground, or one pass. Shell."""

import logging
import secrets
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import FrameType
from typing import Final

from agent.base.clock import Clock, SystemClock
from agent.contract.ids import new_id
from agent.contract.redact import redacted
from agent.vision.shipped import load_profile
from cloud.blobs import Blobs
from cloud.config import CloudConfig
from cloud.database import open_database
from cloud.label.budget import Budget
from cloud.label.profiles import profile_of
from cloud.label.queue import LabelQueue
from cloud.label.run import Labeller
from cloud.store import Store
from cloud.worker import Worker

PREFIX: Final = "once-"
PASS: Final = 1_000


class Lines(logging.Formatter):
    """Time, level, event and its fields; no password in it."""

    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__("%(asctime)s.%(msecs)03dZ %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line (a traceback follows on lines of its own)."""
        return redacted(super().format(record))


def log_to_stderr(level: str) -> None:
    """Log events to standard error, where journald takes them from."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # Says at INFO which plugins it set up.
    logging.getLogger("alembic").setLevel(logging.WARNING)


def run(config: CloudConfig) -> None:
    """Work until SIGTERM or SIGINT.

    Raises:
        BadContentError: profile, keys or database content is wrong.
        UnavailableError: state folder, database or objects cannot be used.
    """
    log_to_stderr(config.log_level)
    stop = threading.Event()

    def polite(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, polite)
    with Worker(config) as worker:
        worker.watch(stop)


def label_waiting(config: CloudConfig) -> tuple[int, int]:
    """Ask about all looks that wait now, once each, without a broker.

    Verdicts lie in the database; a running worker sends them.

    Returns:
        How many ended with an outcome, and how many wait on.

    Raises:
        BadContentError: the profile is wrong.
        UnavailableError: storage cannot be used.
    """
    clock: Clock = SystemClock()
    engine = open_database(config.database, create=False)
    queue = LabelQueue(engine)
    own = load_profile(config.profile)

    labeller = Labeller(
        queue, Blobs(config.objects), Budget(engine, config.label.daily_cap_usd), config.label,
        partial(profile_of, own), clock,
    )  # fmt: skip
    done = left = 0
    try:
        with ThreadPoolExecutor(config.label.concurrency) as pool:
            while not labeller.paused:
                batch = PREFIX + new_id(clock.now(), secrets.token_bytes(10))
                if not queue.assign(batch, PASS, clock.now()):
                    break
                ask = partial(labeller.ask, batch)
                words = list(pool.map(ask, queue.members(batch)))
                queue.release(batch)
                done += sum(word not in ("later", "gone") for word in words)
        left = Store(engine).totals().waiting
    finally:
        labeller.close()
        engine.dispose()
    return done, left
