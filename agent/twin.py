"""Signed messages that change how this device works: desired config and advice. Shell.

The device's half of the twin: verify, compare with the sequence saved last, save the new one,
then hand the result to the pipeline, which switches between two frames.
"""

import hashlib
import logging
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, Protocol

from pydantic import ValidationError
from securesystemslib.signer import Key

from agent.base.clock import Clock
from agent.contract.config import DeviceConfig, Settings, changed_settings, within
from agent.contract.envelope import Signed, check, open_envelope
from agent.contract.errors import BadContentError, UnavailableError
from agent.contract.messages import AdviceBody, DesiredBody, Refusal, first_problem
from agent.machine import CLOCK_FLOOR
from agent.notebook import Notebook

log = logging.getLogger(__name__)
RETRY_S: Final = 5.0
SignedChannel = Literal["desired", "advice"]


class Keyring(Protocol):
    """The config keys that are trusted now."""

    @property
    def keys(self) -> Sequence[Key]:
        """The keys; empty: none yet."""
        ...

    def hurry(self) -> None:
        """Look for new keys soon."""
        ...


@dataclass(frozen=True, slots=True)
class Orders:
    """What is in force: replaced as a whole, so a reader never sees half of a change."""

    settings: Settings
    advice: AdviceBody | None = None
    advice_expires: float = 0.0

    def at(self, now: float) -> "Orders":
        """Return the orders without advice that has expired at unix time `now`."""
        if self.advice and now >= self.advice_expires:
            return replace(self, advice=None)
        return self


class Twin:
    """Applies signed messages. `orders` may be read from any thread."""

    def __init__(
        self,
        config: DeviceConfig,
        notebook: Notebook,
        clock: Clock,
        keyring: Keyring,
    ) -> None:
        """Start from the local file and what was accepted in earlier runs."""
        self._config = config
        self._notebook = notebook
        self._clock = clock
        self._keyring = keyring
        self._lock = threading.Lock()
        self.refused: deque[Refusal] = deque(maxlen=8)
        self._waiting: dict[SignedChannel, bytes] = {}
        self._retry_at = 0.0
        self._floor = float(notebook.fact("time_floor", CLOCK_FLOOR))
        self.orders = self._restored()

    def seq(self, channel: SignedChannel) -> int:
        """Return the highest sequence number accepted on a channel."""
        return int(self._notebook.fact(f"{channel}_seq", 0))

    def receive(self, channel: SignedChannel, payload: bytes) -> bool:
        """Take one signed message: all of it counts or nothing does.

        Returns:
            True when something changed or was refused, so that `reported` should be sent.
        """
        self._waiting.pop(channel, None)
        try:
            return self._decide(channel, payload)
        except UnavailableError:
            self._wait(channel, payload)
            raise

    def retry(self) -> bool:
        """Offer again what could not be decided: keys may have come, or the disk has room.

        A retained message comes once a connection, so nobody else would.
        """
        self._heed_expiry()
        if not self._waiting or self._clock.monotonic() < self._retry_at:
            return False
        changed = False
        for channel, payload in list(self._waiting.items()):
            changed |= self.receive(channel, payload)
        return changed

    def _wait(self, channel: SignedChannel, payload: bytes) -> None:
        self._waiting[channel] = payload
        self._retry_at = self._clock.monotonic() + RETRY_S

    def _decide(self, channel: SignedChannel, payload: bytes) -> bool:
        digest = hashlib.sha256(payload).hexdigest()
        if digest == self._notebook.fact(f"{channel}_sha256"):
            return False  # a retained message comes again at every reconnect
        seq: int | None = None
        try:
            signed = open_envelope(payload, channel, list(self._keyring.keys))
            seq = signed.seq
            check(signed, self._config.device, self.seq(channel), self.now())
            with self._lock:
                orders = self._obeyed(channel, signed)
                # Signed times only: a clock that once said 2100 must not close the door till then.
                floor = max(self._floor, signed.issued)
                # Saved before use: a crash in between must not reopen this number.
                self._notebook.remember(
                    **{
                        f"{channel}_seq": signed.seq,
                        f"{channel}_sha256": digest,
                        f"{channel}_body": signed.body,
                        f"{channel}_expires": signed.expires,
                        "time_floor": floor,
                    }
                )
                self.orders, self._floor = orders, floor
        except BadContentError as error:
            if str(error).startswith("signature"):
                self._keyring.hurry()  # a new key, perhaps, or the first one is still on its way
            if str(error).startswith(("signature", "expired")):
                self._wait(channel, payload)  # the key may come, and the clock may be set right
            return self._refuse(channel, seq, str(error))
        log.info("%s_applied seq=%d", channel, signed.seq)
        return True

    def now(self) -> float:
        """Return unix time, never below the newest signed time seen: a reset clock stays late."""
        return max(self._clock.now(), self._floor)

    def _heed_expiry(self) -> None:
        """Remember that advice has expired: a clock that is set back must not revive it."""
        expires = self.orders.advice_expires
        if self._floor < expires <= self._clock.now():
            self._notebook.remember(time_floor=expires)
            self._floor = expires

    def _obeyed(self, channel: SignedChannel, signed: Signed) -> Orders:
        if channel == "desired":
            return replace(self.orders, settings=self._settings(signed.body))
        return replace(self.orders, advice=_advice(signed.body), advice_expires=signed.expires)

    def _settings(self, body: dict[str, Any]) -> Settings:
        try:
            desired = DesiredBody.model_validate(body)
        except ValidationError as error:
            raise BadContentError(f"insane: {first_problem(error)}") from error
        return changed_settings(self._config.settings, desired.settings, self._config.limits)

    def _restored(self) -> Orders:
        orders = Orders(within(self._config.settings, self._config.limits))
        try:
            if body := self._notebook.fact("desired_body"):
                orders = replace(orders, settings=self._settings(body))
            if body := self._notebook.fact("advice_body"):
                expires = float(self._notebook.fact("advice_expires", 0.0))
                orders = replace(orders, advice=_advice(body), advice_expires=expires)
        except BadContentError as error:
            # An upgrade may have narrowed what was once allowed; the local file still holds.
            log.warning("saved_orders_refused reason=%s", error)
        return orders

    def _refuse(self, channel: SignedChannel, seq: int | None, reason: str) -> bool:
        if any((r.channel, r.seq, r.reason) == (channel, seq, reason[:200]) for r in self.refused):
            return False
        log.warning("%s_refused seq=%s reason=%s", channel, seq, reason)
        self.refused.append(
            Refusal(channel=channel, seq=seq, reason=reason[:200], at=self._clock.now())
        )
        return True


def _advice(body: dict[str, Any]) -> AdviceBody:
    try:
        return AdviceBody.model_validate(body)
    except ValidationError as error:
        raise BadContentError(f"insane: {first_problem(error)}") from error
