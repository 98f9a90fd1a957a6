"""The doctor's checks of the way to the cloud: broker, and a receipt's round trip. Shell.

With the daemon running nobody else may connect under its name, so it is asked; what it cannot
say (TLS, certificates) is tried beside it without logging in. Otherwise a look is sent and its
receipt awaited: a waiting one of the spool (sending it twice harms nothing), else a probe, which
the cloud answers and stores nowhere.
"""

import os
import queue
import random
import socket
import ssl
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from agent import __version__
from agent.alive import Alive
from agent.base.broker import tls_context
from agent.base.clock import Clock
from agent.commands.finding import Finding, failed
from agent.commands.link_words import certificate_warning, login_remedy, tls_words, wire_words
from agent.commands.words import age
from agent.contract.codec import Look, encode_look
from agent.contract.config import DeviceConfig, broker_address
from agent.contract.errors import BadContentError, SecondlookError, UnavailableError
from agent.contract.ids import new_id
from agent.contract.messages import LookMeta, Receipt, Status, from_json, to_json
from agent.contract.topics import Topics
from agent.session import Session
from agent.spool_files import WaitingLook, read_spool

WIRE_S: Final = 5.0
ALERT_S: Final = 0.5
"""With TLS 1.3 a refused client certificate shows only after the handshake."""
ANSWER_S: Final = 10.0
POLL_S: Final = 0.05
CREDENTIALS: Final = "/run/credentials/"
UNANSWERED: Final = 2
"""Sent so often without a receipt, a look tells that the cloud does not answer."""


def check_link(config: DeviceConfig, alive: Alive | None, clock: Clock) -> list[Finding]:
    """Return the lines `broker` and `receipt`.

    Args:
        config: The device.
        alive: Sign of life of a daemon that runs; None: none does.
        clock: For ages and time limits.
    """
    try:
        wire = check_wire(config)
        if alive is None:
            return _log_in(config, wire, clock)
    except SecondlookError as error:
        # systemd hands secrets to the service alone.
        lent = CREDENTIALS in str(error) and alive is None
        remedy = "sudo systemctl start secondlook-agent; it is there while that runs"
        why = "the broker is out of reach"
        return [failed("broker", error, remedy if lent else ""), Finding("receipt", "skip", why)]
    if alive.broker:
        remedy = login_remedy(alive.broker, config)
        told = Finding("broker", "fail", f"{wire.text}, but the agent: {alive.broker}", remedy)
        return [told, Finding("receipt", "skip", "the agent is not connected")]
    told = Finding("broker", wire.grade, f"{wire.text}, the agent is connected", wire.remedy)
    return [told, judge_receipts(alive, _waiting(config), clock.now())]


def check_wire(config: DeviceConfig) -> Finding:
    """Try TCP, then TLS with this device's certificate, without logging in.

    Raises:
        UnavailableError: no connection, or the other side hung up.
        BadContentError: TLS files or certificates are wrong.
    """
    host, port, _ = broker_address(config.broker.url)
    context = tls_context(config.broker)
    warning = certificate_warning(config.broker, config.device)
    started = time.perf_counter()
    with ExitStack() as stack:
        try:
            plain = stack.enter_context(socket.create_connection((host, port), WIRE_S))
            text = f"{host}:{port} answers in {_ms_since(started)}"
            if context:
                sealed = stack.enter_context(context.wrap_socket(plain, server_hostname=host))
                text = f"{host}:{port} answers in {_ms_since(started)}, {sealed.version()}"
                _await_alert(sealed)
        except ssl.SSLError as error:
            raise BadContentError(
                f"{host}:{port} TLS: {tls_words(error, config.broker)}"
            ) from error
        except OSError as error:
            raise UnavailableError(f"{host}:{port}: {wire_words(error, host, port)}") from error
    if warning:
        return Finding("broker", "warn", f"{text}, but {warning}", "secure a new certificate")
    return Finding("broker", "ok", text)


def _ms_since(started: float) -> str:
    return f"{(time.perf_counter() - started) * 1000:.0f} ms"


def _await_alert(sealed: ssl.SSLSocket) -> None:
    sealed.settimeout(ALERT_S)
    try:
        if not sealed.recv(1):
            raise ConnectionResetError("the broker hung up after the handshake")
    except TimeoutError:
        pass  # it waits for our first word, as it should


@dataclass(frozen=True, slots=True)
class Question:
    """A look that is sent to see whether its receipt comes."""

    look_id: str
    payload: bytes
    what: str


def _log_in(config: DeviceConfig, wire: Finding, clock: Clock) -> list[Finding]:
    topics = Topics(config.broker.prefix)
    gone = Status(device=config.device, online=False, at=clock.now())
    session = Session(
        config.broker,
        config.device,
        (topics.of(config.device, "status"), to_json(gone)),
        (topics.of(config.device, "receipt"),),
        random.Random(),  # noqa: S311 - spreads reconnects
    )
    session.start()
    try:
        deadline = clock.monotonic() + ANSWER_S
        while not session.connected and clock.monotonic() < deadline:
            if session.problem.startswith(("refused", "lost")):
                break
            time.sleep(POLL_S)
        if not session.connected:
            remedy = login_remedy(session.problem, config)
            told = Finding("broker", "fail", f"{wire.text}, but {session.problem}", remedy)
            return [told, Finding("receipt", "skip", "the broker does not let us in")]
        told = Finding("broker", wire.grade, f"{wire.text}, logged in", wire.remedy)
        return [told, _ask(session, config, clock)]
    finally:
        session.stop()


def _ask(session: Session, config: DeviceConfig, clock: Clock) -> Finding:
    question = _waiting_look(config) or probe(config, clock.now())
    topics = Topics(config.broker.prefix)
    started = clock.monotonic()
    mid = session.publish(topics.of(config.device, "look"), question.payload)
    taken = False
    while clock.monotonic() - started < ANSWER_S:
        grade = _answered(session, question.look_id)
        if grade:
            took = (clock.monotonic() - started) * 1000
            return Finding("receipt", "ok", f"{question.what} {grade} after {took:.0f} ms")
        while not session.acks.empty():
            ack = session.acks.get()
            taken |= ack.mid == mid
            if ack.mid == mid and (ack.unheard or not ack.accepted):
                return _not_taken(ack.reason, config)
        time.sleep(POLL_S)
    where = "the broker took" if taken else "the broker did not even acknowledge"
    return Finding(
        "receipt", "fail", f"{where} {question.what}, no receipt within {ANSWER_S:.0f} s",
        "in the cloud: secondlook-cloud status; systemctl status secondlook-cloud",
    )  # fmt: skip


def _answered(session: Session, look_id: str) -> str:
    while True:
        try:
            receipt = from_json(Receipt, session.inbox.get_nowait().payload)
        except queue.Empty:
            return ""
        except BadContentError:
            continue
        if look_id in receipt.look_ids:
            return "receipted"
        if look_id in receipt.quarantined:
            return "answered (set aside: the cloud is older than this agent)"


def _not_taken(reason: str, config: DeviceConfig) -> Finding:
    if "subscribers" in reason:
        return Finding(
            "receipt", "fail", "nobody in the cloud listens for looks",
            "in the cloud: systemctl start secondlook-cloud; same [broker] prefix on both sides?",
        )  # fmt: skip
    topic = Topics(config.broker.prefix).of(config.device, "look")
    return Finding(
        "receipt", "fail", f"the broker refuses {topic}: {reason}",
        f"let {config.device} write there in the broker's access rules (acl_file)",
    )  # fmt: skip


def _waiting_look(config: DeviceConfig) -> Question | None:
    for item in _waiting(config):
        path = Path(config.state_dir) / "spool" / "looks" / str(item.name)
        try:
            return Question(item.name.look_id, path.read_bytes(), "the oldest waiting look")
        except OSError:
            continue
    return None


def _waiting(config: DeviceConfig) -> list[WaitingLook]:
    try:
        return read_spool(Path(config.state_dir) / "spool")
    except UnavailableError:
        return []


def probe(config: DeviceConfig, now: float) -> Question:
    """Make a look that asks for nothing but its receipt."""
    grey = cv2.imencode(".jpg", np.full((16, 16, 3), 128, np.uint8))[1].tobytes()
    look_id = new_id(now, os.urandom(10))
    meta = LookMeta(
        look_id=look_id,
        device=config.device,
        camera=config.camera[0].name,
        sighting_id=look_id,
        captured_at=now,
        frame=0,
        frame_size=(16, 16),
        box=(0, 0, 16, 16),
        profile="",
        model="",
        agent=__version__,
        reason="probe",
        top=(),
        margin=0.0,
        energy=0.0,
    )
    return Question(look_id, encode_look(Look(meta, grey)), "a probe")


def judge_receipts(alive: Alive, waiting: Sequence[WaitingLook], now: float) -> Finding:
    """Tell from a running daemon's figures whether the cloud answers."""
    unanswered = sum(looks for times, looks in alive.attempts.items() if times >= UNANSWERED)
    if unanswered:
        newest = f"{age(now - alive.receipted_at)} ago" if alive.receipted_at else "never"
        return Finding(
            "receipt", "fail",
            f"{unanswered} looks were sent {UNANSWERED} times or more without a receipt;"
            f" newest receipt: {newest}",
            "in the cloud: secondlook-cloud status; systemctl status secondlook-cloud",
        )  # fmt: skip
    if alive.receipted_at is None:
        sent = sum(looks for times, looks in alive.attempts.items() if times)
        if sent:
            text = f"{sent} looks sent since the agent started, no receipt yet"
            return Finding("receipt", "warn", text, "ask again in a minute")
        return Finding(
            "receipt", "warn", "no look was sent since the agent started: nothing is proven",
            "to prove it: sudo systemctl stop secondlook-agent, doctor again, start it",
        )  # fmt: skip
    text = f"newest receipt {age(now - alive.receipted_at)} ago, {len(waiting)} looks wait"
    return Finding("receipt", "ok", text)
