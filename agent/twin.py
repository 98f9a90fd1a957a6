"""Signed messages that change how this device works: desired config and advice. Shell.

The device's half of the twin: verify, compare with the sequence saved last, save the new one,
then hand the result to the pipeline, which switches between two frames.
"""

import hashlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import ValidationError
from securesystemslib.signer import Key

from agent.base.clock import Clock
from agent.contract.config import DeviceConfig, Settings, changed_settings, within
from agent.contract.envelope import Signed, check, open_envelope
from agent.contract.errors import BadContentError
from agent.contract.messages import AdviceBody, DesiredBody, Refusal, first_problem
from agent.notebook import Notebook

log = logging.getLogger(__name__)
SignedChannel = Literal["desired", "advice"]


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
        keys: Callable[[], Sequence[Key]],
    ) -> None:
        """Start from the local file and what was accepted in earlier runs."""
        self._config = config
        self._notebook = notebook
        self._clock = clock
        self._keys = keys
        self._lock = threading.Lock()
        self.refused: deque[Refusal] = deque(maxlen=8)
        self.orders = self._restored()

    def seq(self, channel: SignedChannel) -> int:
        """Return the highest sequence number accepted on a channel."""
        return int(self._notebook.fact(f"{channel}_seq", 0))

    def receive(self, channel: SignedChannel, payload: bytes) -> bool:
        """Take one signed message: all of it counts or nothing does.

        Returns:
            True when something changed or was refused, so that `reported` should be sent.
        """
        digest = hashlib.sha256(payload).hexdigest()
        if digest == self._notebook.fact(f"{channel}_sha256"):
            return False  # a retained message comes again at every reconnect
        seq: int | None = None
        try:
            signed = open_envelope(payload, channel, list(self._keys()))
            seq = signed.seq
            check(signed, self._config.device, self.seq(channel), self.now())
            with self._lock:
                orders = self._obeyed(channel, signed)
                # Saved before use: a crash in between must not reopen this number.
                self._notebook.remember(
                    **{
                        f"{channel}_seq": signed.seq,
                        f"{channel}_sha256": digest,
                        f"{channel}_body": signed.body,
                        f"{channel}_expires": signed.expires,
                        "time_floor": max(self.now(), signed.issued),
                    }
                )
                self.orders = orders
        except BadContentError as error:
            return self._refuse(channel, seq, str(error))
        log.info("%s_applied seq=%d", channel, signed.seq)
        return True

    def now(self) -> float:
        """Return unix time, never below the newest signed time seen: a reset clock stays late."""
        return max(self._clock.now(), float(self._notebook.fact("time_floor", 0.0)))

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
        last = self.refused[-1] if self.refused else None
        if last and (last.channel, last.seq, last.reason) == (channel, seq, reason[:200]):
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
