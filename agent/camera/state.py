"""A camera's state: told and logged when it changes, and only then. Shell."""

import logging
from collections.abc import Callable
from typing import Final

from agent.base.clock import Clock
from agent.contract.messages import CameraReport, CameraState

log = logging.getLogger(__name__)

_CALM: Final = ("starting", "ok", "ended")
_BY_FRAME: Final = ("ok", "black", "blinded", "covered", "torn", "frozen")
"""Told with every frame; once said, nothing new."""
_DETAIL: Final = 200
"""Characters of a reason that travel; `CameraReport` holds no more."""


class StateKeeper:
    """Follows one camera from its capture thread."""

    def __init__(self, camera: str, clock: Clock, report: Callable[[CameraReport], None]) -> None:
        """Start without a state; `report` is called on every change."""
        self._camera = camera
        self._clock = clock
        self._report = report
        self._state: CameraState | None = None
        self._troubled_at: float | None = None

    def tell(self, state: CameraState, detail: str = "") -> None:
        """Say what the state is now.

        Args:
            state: The state.
            detail: Why, without secrets; logged whole, reported in its first 200 characters.
        """
        changed = state != self._state
        if not changed and state in _BY_FRAME:
            return
        self._log(state, detail, changed=changed)
        if changed:
            self._state = state
            self._report(
                CameraReport(
                    camera=self._camera,
                    state=state,
                    since=self._clock.now(),
                    detail=detail[:_DETAIL],
                )
            )

    def _log(self, state: CameraState, detail: str, *, changed: bool) -> None:
        if state not in _CALM:
            first = self._troubled_at is None
            if first:
                self._troubled_at = self._clock.monotonic()
            level = logging.WARNING if first else logging.DEBUG
            log.log(level, "camera_%s camera=%s reason=%s", state, self._camera, detail)
        elif state == "ok" and self._troubled_at is not None:
            lasted_s = self._clock.monotonic() - self._troubled_at
            self._troubled_at = None
            log.info(
                "camera_ok camera=%s was=%s lasted_s=%.1f", self._camera, self._state, lasted_s
            )
        elif changed:
            log.info("camera_%s camera=%s detail=%s", state, self._camera, detail)
