"""Row 8: an exception raised in every callback of both sessions, in turn."""

import logging
from collections import Counter
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from agent.base.link import Link
from tests.conftest import Mosquitto
from tests.faults.case import Case
from tests.faults.device import Device, drained, working
from tests.faults.oracle import judge
from tests.faults.proxy import Proxy
from tests.programs import wait_for

LIMIT_S = 30.0
OWNERS = ("message", "take", "published", "changed")
"""Callbacks of who owns the link; a test notices when one is added."""
UNUSED = {"agent": "take", "worker": "message"}
"""Each takes its messages by the other way."""
PAHOS = ("_on_connect", "_on_disconnect")


class BugError(Exception):
    """What nobody has foreseen."""


class Saboteur:
    """Makes a callback of a link raise, once."""

    def __init__(self, link: Link, name: str) -> None:
        self.raised = False
        self.of_connections = name in (*PAHOS, "changed")
        self._work = getattr(link if name in PAHOS else link._callbacks, name)
        if name in PAHOS:
            setattr(link, name, self._callback)
        else:
            link._callbacks = replace(link._callbacks, **{name: self._callback})

    def _callback(self, *args: Any) -> Any:
        if not self.raised:
            self.raised = True
            raise BugError
        return self._work(*args)


@pytest.mark.fault(8, cheap=True)
def test_a_callback_raises(
    case: Case,
    tmp_path: Path,
    mosquitto: Mosquitto,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # A dozen connections in a row: what matters here is that each comes.
    monkeypatch.setattr("agent.base.link.RECONNECT_S", (0.1, 0.3))
    monkeypatch.setattr("agent.sending.AFTER_RECONNECT_S", 0.1)
    raised, rounds = Counter[str](), case.size(1, 20)
    with (
        Proxy(mosquitto.port) as proxy,
        working(tmp_path, proxy.url) as worker,
        Device(tmp_path, proxy.url) as device,
    ):
        links = {"agent": device.session.link, "worker": worker.bus.link}
        assert {field.name for field in fields(links["agent"]._callbacks)} == set(OWNERS)
        for who, link in list(links.items()) * rounds:
            for name in (*OWNERS, *PAHOS):
                if name == UNUSED[who]:
                    continue
                saboteur = Saboteur(link, name)
                if name == "take":
                    proxy.cut()  # each connection is given it at its start

                def provoked(link: Link = link, saboteur: Saboteur = saboteur) -> bool:
                    if not saboteur.raised and link.connected:
                        device.put()
                        worker.bus.publish("secondlook/cam-1/receipt", b"{}")
                        if saboteur.of_connections:
                            proxy.cut()
                    return saboteur.raised

                wait_for(f"{who} {name}", provoked, LIMIT_S)
                wait_for("a receipt", lambda: not device.waiting, LIMIT_S)
                raised[f"{who} {name}"] += 1
        count = drained(device)
        alive = [link._thread.is_alive() for link in links.values()]
        failures = sum(link.failures for link in links.values())
        assert not device.loop.failed
    told = sum(
        bool(record.exc_info and record.exc_info[0] is BugError) for record in caplog.records
        if record.levelno >= logging.ERROR
    )  # fmt: skip
    case.record(raised.total(), alive_percent=100 * sum(alive) // 2, logged=told)
    judge(case, count)
    assert all(alive)
    assert told == failures == raised.total(), "logged and counted"
