"""Rows 1 to 4: `kill -9` of agent, worker and broker while looks flow."""

import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.base.crash import EXIT_CODE
from tests.conftest import Mosquitto
from tests.faults.case import Case
from tests.faults.forks import Nursery
from tests.faults.oracle import judge
from tests.faults.proxy import Proxy
from tests.faults.stage import Stage, staged
from tests.llm_server import LlmServer
from tests.programs import wait_for

LIMIT_S = 600.0
"""Longer than any pause: how long it takes is a figure, that it comes is the test."""
AGENT_POINTS = (
    "spool-after-file", "spool-after-accept", "uplink-after-publish", "uplink-before-forget",
)  # fmt: skip
WORKER_POINTS = ("ingest-after-shard", "ingest-after-commit", "ingest-after-receipt")


def few(case: Case, cheap: int, short: int, long: int) -> int:
    """How many faults this form of the run injects, the cheapest one too."""
    return cheap if case.form == "cheap" else case.size(short, long)


def hurried(case: Case) -> bool:
    """Whether programs wait less than they do in the field: in all but the long forms."""
    return case.form != "long"


def p95(values: list[float]) -> float:
    """The 95th percentile, rounded to hundredths."""
    ordered = sorted(values)
    return round(ordered[max(0, -(-len(ordered) * 95 // 100) - 1)], 2) if ordered else 0.0


def share(extra: float, of: float) -> float:
    """Per cent, rounded to tenths."""
    return round(100 * extra / of, 1)


def grows(number: Callable[[], int]) -> Callable[[], bool]:
    """A condition: the number is larger than it is now."""
    before = number()
    return lambda: number() > before


@pytest.mark.fault(1, cheap=True)
def test_agent_killed(case: Case, tmp_path: Path, mosquitto: Mosquitto, nursery: Nursery) -> None:
    rng, kills, restarts = case.rng, few(case, 3, 15, 200), list[float]()
    with staged(tmp_path, mosquitto.url, nursery) as stage:
        stage.worker.start()
        for _ in range(kills):
            kept, started = stage.fresh_look(), time.monotonic()
            stage.agent.start()
            if rng.random() < 0.2:
                time.sleep(rng.uniform(0.0, 2.0))  # while it starts
            else:
                wait_for("a look", kept, LIMIT_S)
                restarts.append(time.monotonic() - started)
                time.sleep(rng.uniform(0.0, 0.8))
            stage.agent.stop(signal.SIGKILL)
        count = stage.rest()
    case.record(kills, restart_p95_s=p95(restarts))
    judge(case, count, kills=kills)


@pytest.mark.fault(1, cheap=True)
def test_agent_dies_at(case: Case, tmp_path: Path, mosquitto: Mosquitto, nursery: Nursery) -> None:
    died: Counter[str] = Counter()
    rounds = few(case, 1, 2, 20)
    with staged(tmp_path, mosquitto.url, nursery, hurried=hurried(case)) as stage:
        stage.worker.start()
        for number, point in enumerate(AGENT_POINTS * rounds):
            # Not always the first time it gets there.
            stage.agent.start({"SECONDLOOK_CRASH_AT": f"{point}:{number // len(AGENT_POINTS) + 1}"})
            assert stage.agent.finish(LIMIT_S) == EXIT_CODE, stage.agent.output[-3000:]
            died[point] += 1
        count = stage.rest()
    case.record(len(AGENT_POINTS) * rounds, died=dict(died))
    judge(case, count, kills=died.total())


@pytest.mark.fault(2, cheap=True)
def test_worker_killed(case: Case, tmp_path: Path, mosquitto: Mosquitto, nursery: Nursery) -> None:
    rng, kills = case.rng, few(case, 5, 15, 200)
    with (
        Proxy(mosquitto.port) as proxy,
        staged(tmp_path, proxy.url, nursery, hurried=hurried(case)) as stage,
    ):
        _, to_worker = proxy.tap()
        start_both(stage)
        stage.worker.stop(signal.SIGKILL)
        for _ in range(kills):
            stored = grows(stage.stored)
            stage.worker.start()
            wait_for("a look is stored", stored, LIMIT_S)
            time.sleep(rng.uniform(0.0, 0.5))
            stage.worker.stop(signal.SIGKILL)
        stage.agent.stop(signal.SIGTERM)
        stage.worker.start()
        count = stage.rest()
    case.record(kills, redelivered=to_worker.looks - count.stored)
    judge(case, count, kills=kills)


@pytest.mark.fault(2, cheap=True)
def test_worker_dies_at(case: Case, tmp_path: Path, mosquitto: Mosquitto, nursery: Nursery) -> None:
    died: Counter[str] = Counter()
    rounds = few(case, 1, 2, 20)
    with (
        Proxy(mosquitto.port) as proxy,
        staged(tmp_path, proxy.url, nursery, hurried=hurried(case)) as stage,
    ):
        _, to_worker = proxy.tap()
        start_both(stage)
        stage.worker.stop(signal.SIGKILL)
        for number, point in enumerate(WORKER_POINTS * rounds):
            nth = number // len(WORKER_POINTS) % 3 + 1
            stage.worker.start({"SECONDLOOK_CRASH_AT": f"{point}:{nth}"})
            assert stage.worker.finish() == EXIT_CODE, stage.worker.output[-3000:]
            died[point] += 1
        stage.agent.stop(signal.SIGTERM)
        stage.worker.start()
        count = stage.rest()
    case.record(
        len(WORKER_POINTS) * rounds, died=dict(died), redelivered=to_worker.looks - count.stored
    )
    judge(case, count, kills=died.total())


@pytest.mark.fault(3, cheap=True)
def test_broker_killed(case: Case, tmp_path: Path, mosquitto: Mosquitto, nursery: Nursery) -> None:
    rng, kills = case.rng, few(case, 2, 5, 50)
    with (
        Proxy(mosquitto.port) as proxy,
        staged(tmp_path, proxy.url, nursery, hurried=hurried(case)) as stage,
    ):
        from_agent, _ = proxy.tap()
        start_both(stage)
        for number in range(kills):
            wait_for("a look is stored", grows(stage.stored), LIMIT_S)
            time.sleep(rng.uniform(0.0, 1.0))
            mosquitto.stop(kill=True)
            time.sleep(rng.uniform(0.0, 1.0))
            if number % 2:
                mosquitto.forget()  # as one without persistence; else what its last save held
            mosquitto.start()
        wait_for("a look is stored", grows(stage.stored), LIMIT_S)
        stage.agent.stop(signal.SIGTERM)
        count = stage.rest()
    case.record(kills, resent_percent=share(from_agent.looks - count.accepted, count.accepted))
    judge(case, count, kills=kills)


@pytest.mark.fault(4)
def test_everything_killed(
    case: Case, tmp_path: Path, mosquitto: Mosquitto, nursery: Nursery
) -> None:
    rng, recoveries, done = case.rng, list[float](), Counter[str]()
    with (
        LlmServer() as llm,
        Proxy(mosquitto.port) as proxy,
        staged(tmp_path, proxy.url, nursery, llm.url, hurried=hurried(case)) as stage,
    ):
        faults = {
            "agent": lambda: again(stage.agent.stop, stage.agent.start, rng),
            "worker": lambda: again(stage.worker.stop, stage.worker.start, rng),
            "broker": lambda: restart(mosquitto, rng),
            "cut": proxy.cut,
        }
        start_both(stage)
        until = time.monotonic() + case.size(20, 20 * 60)
        while time.monotonic() < until:
            name = rng.choice(sorted(faults))
            faults[name]()
            done[name] += 1
            if rng.random() < 0.7:  # else the next fault comes while all recover from this one
                fresh, started = stage.fresh_look_is_stored(), time.monotonic()
                wait_for("a new look is stored", fresh, LIMIT_S)
                recoveries.append(time.monotonic() - started)
            time.sleep(rng.uniform(0.0, 0.5))
        stage.agent.stop(signal.SIGTERM)
        count = stage.rest()
    case.record(done.total(), faults=dict(done), recovery_p95_s=p95(recoveries))
    judge(case, count, kills=done.total() - done["cut"])


def start_both(stage: Stage) -> None:
    """Start the worker and, once it listens, the agent; looks flow."""
    stage.worker.start()
    wait_for("the worker listens", lambda: "broker_connected" in stage.worker.output, LIMIT_S)
    stage.agent.start()
    wait_for("a look is stored", grows(stage.stored), LIMIT_S)


def again(
    stop: Callable[[signal.Signals], object], start: Callable[[], None], rng: random.Random
) -> None:
    """Kill a program; it is back after a moment."""
    stop(signal.SIGKILL)
    time.sleep(rng.uniform(0.0, 0.5))
    start()


def restart(broker: Mosquitto, rng: random.Random) -> None:
    """Kill the broker; it is back after a moment, and has forgotten everything or most."""
    broker.stop(kill=True)
    time.sleep(rng.uniform(0.0, 0.5))
    if rng.random() < 0.5:
        broker.forget()
    broker.start()
