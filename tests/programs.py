"""Our own programs as child processes, and waiting on conditions."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


class Program:
    """One program that can be killed and started again; its output goes to a log file."""

    def __init__(self, *args: str, log: Path) -> None:
        self._args = args
        self._log = log
        self.child: subprocess.Popen[bytes] | None = None

    def start(self, env: Mapping[str, str] | None = None) -> None:
        with self._log.open("ab") as log:
            self.child = subprocess.Popen(
                [sys.executable, "-m", *self._args],
                stdout=log,
                stderr=log,
                env={**os.environ, **(env or {})},
            )

    @property
    def pid(self) -> int:
        return self.child.pid if self.child else 0

    def stop(self, how: signal.Signals) -> int:
        """End it and return its exit code; minus the signal where that ended it."""
        if not self.child:
            return 0
        if self.child.poll() is None:
            self.child.send_signal(how)
        return self.child.wait(30)

    def finish(self, limit_s: float) -> int:
        """Wait for its own end and return its exit code."""
        assert self.child
        return self.child.wait(limit_s)

    @property
    def output(self) -> str:
        return self._log.read_text()


@contextmanager
def running(*programs: Program) -> Iterator[None]:
    """Start programs; none is left behind."""
    try:
        for program in programs:
            program.start()
        yield
    finally:
        for program in programs:
            program.stop(signal.SIGKILL)


def wait_for(
    what: str, condition: Callable[[], bool], limit_s: float, every_s: float = 0.1
) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {limit_s:.0f} s: {what}"
        time.sleep(every_s)
