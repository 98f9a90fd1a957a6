"""Our programs, started by fork from a process that has imported them: a kill costs no import.

Run as a module it is that process: one JSON order a line comes in, one number goes out.
"""

import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, final

from agent.base import crash

PRELOADED = {"agent": "agent.commands.run", "cloud": "cloud.commands.run"}
HURRIED: Mapping[str, Any] = {
    "agent.base.link.RECONNECT_S": (0.4, 3.0),
    "agent.base.link.STEADY_S": 1.0,
    "agent.sending.AFTER_RECONNECT_S": 0.5,
    "agent.sending.REFUSED_S": (0.5, 4.0),
    "agent.sending.RESEND_S": (4.0, 60.0),
}
"""Waiting times cut short, so that more faults fit into a minute. What is done stays the same."""


@final
class Forks:
    """The process that forks, while entered; killing it is left to nobody."""

    def __init__(self, package: str) -> None:
        self._package = package
        self._child: subprocess.Popen[str] | None = None

    def __enter__(self) -> "Forks":
        command = [sys.executable, "-m", "tests.faults.forks", self._package]
        self._child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        assert self._child
        self._child.communicate()  # end of its orders
        self._child = None

    def program(self, *args: str, log: Path, constants: Mapping[str, Any]) -> "Fork":
        """One program of the package; it can be killed and started again.

        Args:
            args: Of its command line.
            log: Where its output goes.
            constants: Of modules, by full name, to be changed in it.
        """
        return Fork(self, args, log, constants)

    def order(self, **order: Any) -> int:
        assert self._child
        assert self._child.stdin
        assert self._child.stdout
        self._child.stdin.write(json.dumps(order) + "\n")
        self._child.stdin.flush()
        return int(self._child.stdout.readline())


@dataclass(frozen=True)
class Nursery:
    """Where programs come from."""

    agents: Forks
    workers: Forks


@final
class Fork:
    """As `tests.programs.Program`."""

    def __init__(
        self, forks: Forks, args: tuple[str, ...], log: Path, constants: Mapping[str, Any]
    ) -> None:
        self._forks = forks
        self._constants = constants
        self._args = args
        self._log = log
        self.pid = 0

    def start(self, env: Mapping[str, str] | None = None) -> None:
        self.pid = self._forks.order(
            args=self._args,
            env=dict(env or {}),
            log=str(self._log),
            constants=dict(self._constants),
        )

    def stop(self, how: signal.Signals) -> int:
        """End it and return its exit code; minus the signal where that ended it."""
        if not self.pid:
            return 0
        os.kill(self.pid, how)
        return self.finish()

    def finish(self, _limit_s: float = 0.0) -> int:
        """Wait for its end, however long, and return its exit code."""
        code = self._forks.order(wait=self.pid)
        self.pid = 0
        return code

    @property
    def output(self) -> str:
        return self._log.read_text() if self._log.exists() else ""


def serve(package: str) -> None:
    """Take orders until there are no more."""
    __import__(PRELOADED[package])
    for line in sys.stdin:
        order = json.loads(line)
        if "wait" in order:
            _, status = os.waitpid(order["wait"], 0)
            answer = os.waitstatus_to_exitcode(status)
        else:
            answer = os.fork()
            if not answer:
                become(package, order)
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


def become(package: str, order: dict[str, Any]) -> None:
    """Run a program in this process, as `python -m PACKAGE ARGS` does."""
    log = os.open(order["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, target in enumerate((nothing, log, log)):
        os.dup2(target, number)
    os.environ.update(order["env"])
    for name, value in order["constants"].items():
        module, _, constant = name.rpartition(".")
        setattr(importlib.import_module(module), constant, value)
    # It reads the environment when imported, and that was before the fork.
    importlib.reload(crash)
    sys.argv = [package, *order["args"]]
    code = 1
    try:
        runpy.run_module(package, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as ended:
        code = int(ended.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve(sys.argv[1])
