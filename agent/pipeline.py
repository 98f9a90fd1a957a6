"""The straight line on the device: propose, classify, track, decide, keep. Shell."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from agent.asked import Asked
from agent.bar import Bar
from agent.base.clock import Clock
from agent.contract.codec import encode_look
from agent.contract.config import DeviceConfig
from agent.contract.profile import Profile
from agent.counters import Counters
from agent.crops import sharpness
from agent.decide import Basis, Policy, Record, audited, choose, decide, is_other_view, signals_of
from agent.held import View, Views, merit
from agent.journal import Journal
from agent.making import LookMaker, finished
from agent.notebook import Note
from agent.policy import Levels, Ration, budget_of, levels_of, policy_of, ration_of
from agent.twin import Twin
from agent.vision.engine import Engine
from agent.vision.predict import Classifier
from agent.vision.preprocess import region_hash
from agent.vision.propose import Proposer
from agent.vision.tracker import Sighting, Tracked, Tracker
from agent.vision.types import Frame, Prediction

RECORDS: Final = 256
"""Sightings that are remembered; more than a tracker follows at once."""


@dataclass(slots=True)
class Lane:
    """What belongs to one camera alone."""

    proposer: Proposer
    tracker: Tracker
    views: Views = field(default_factory=Views)
    """What might be asked about, and is held for a better view of the same object."""
    records: dict[str, Record] = field(default_factory=dict)
    """By sighting; the oldest are dropped."""
    looked_at: float = -math.inf
    """Moment of the newest frame that was classified."""

    def forget(self, tracked: Tracked) -> None:
        """Drop the oldest records, not of what is in sight or held."""
        seen = {sighting.sighting_id for _, sighting in tracked.pairs}
        old = [name for name in self.records if name not in seen and name not in self.views]
        for name in old[: len(self.records) - RECORDS]:
            del self.records[name]


Observer = Callable[[Frame, Tracked], None]


@dataclass(frozen=True, slots=True)
class Parts:
    """What a pipeline is made of."""

    engine: Engine
    classifier: Classifier
    profile: Profile
    lanes: Mapping[str, Lane]
    journal: Journal
    twin: Twin
    config: DeviceConfig
    clock: Clock
    observer: Observer | None = None
    """Sees each frame with what was tracked in it; for setting a camera up."""


class Pipeline:
    """One inference thread serves all cameras; config is switched between two frames."""

    def __init__(
        self,
        parts: Parts,
        levels: Sequence[float | None] | None,
        memory: Mapping[str, Any] | None = None,
    ) -> None:
        """Start with what an earlier run saved: `levels` and `memory`; None: with full buckets."""
        self._engine = parts.engine
        self._classifier = parts.classifier
        self._profile = parts.profile
        self._lanes = parts.lanes
        self._journal = parts.journal
        self._twin = parts.twin
        self._limits = parts.config.limits
        self._maker = LookMaker(
            parts.config.device, parts.profile.name, parts.engine.model.version,
            parts.classifier.labels, parts.clock,
        )  # fmt: skip
        self._clock = parts.clock
        self._observer = parts.observer
        self._orders = parts.twin.orders
        self._settings = self._orders.settings
        self._policy = self._fresh_policy()
        self._ration = self._fresh_ration()
        saved = memory or {}
        self._basis = Basis(
            budget_of(self._ration, levels_of(levels), self._clock.monotonic()),
            Bar.restored(saved.get("bar", ())),
            Asked.restored(saved.get("asked")),
        )
        self._asking = False
        self.counters = Counters()

    @property
    def levels(self) -> Levels:
        """Looks, bytes and dollars left in the budget, to be saved."""
        return self._basis.budget.levels

    @property
    def memory(self) -> dict[str, Any]:
        """What was asked lately and what could have been, to be saved."""
        basis = self._basis
        return {"bar": basis.bar.as_saved(), "asked": basis.asked.as_saved()}

    @property
    def holding(self) -> bool:
        """True while views wait for better ones: what is held is not accepted yet."""
        # In this order: what left the views while we looked is being asked about by then.
        return any(len(lane.views) for lane in self._lanes.values()) or self._asking

    def step(self, frame: Frame) -> None:
        """Take one frame along the straight line."""
        started = self._clock.monotonic()
        self._switch()
        lane = self._lanes[frame.camera]
        if too_soon(frame, lane.looked_at, self._settings.max_fps):
            return
        lane.looked_at = frame.moment
        regions = lane.proposer.propose(frame.image)
        predictions = [self._classifier.classify(frame.image, region) for region in regions]
        tracked = lane.tracker.update(frame, predictions)
        if self._observer:
            self._observer(frame, tracked)
        for sighting in (*tracked.opened, *tracked.closed):
            self._journal.add(self._note(sighting))
        for prediction, sighting in tracked.pairs:
            self.counters.scored(prediction.score)
            if frame.still or sighting.frames >= self._settings.min_hits:
                self._consider(frame, prediction, sighting, lane, started)
        self._close(lane, tracked.closed, started, 0.0 if frame.still else self._settings.hold_s)
        self.release()
        if len(lane.records) > RECORDS:
            lane.forget(tracked)
        self.counters.sightings += len(tracked.opened)
        self.counters.timed(self._clock.monotonic() - started)

    def release(self) -> None:
        """Ask about views that were held long enough, whether or not frames come."""
        for lane in self._lanes.values():
            if lane.views:
                self._close(lane, (), self._clock.monotonic(), self._settings.hold_s)

    def flush(self) -> None:
        """Close all sightings, and ask about what is held: the sources have ended."""
        for lane in self._lanes.values():
            ended = lane.tracker.flush()
            for sighting in ended:
                self._journal.add(self._note(sighting))
            self._close(lane, ended, self._clock.monotonic(), 0.0)

    def _switch(self) -> None:
        orders, before = self._twin.orders.at(self._twin.now()), self._orders
        if orders.settings is before.settings and orders.advice is before.advice:
            return
        self._orders, self._settings = orders, orders.settings
        self._policy = self._fresh_policy()
        for lane in self._lanes.values():
            lane.tracker.min_hits = self._settings.min_hits
        if (ration := self._fresh_ration()) != self._ration:
            self._ration = ration
            budget = budget_of(ration, self.levels, self._clock.monotonic())
            self._basis = replace(self._basis, budget=budget)

    def _fresh_policy(self) -> Policy:
        manifest = self._engine.model.manifest
        return policy_of(self._settings, self._orders.advice, self._limits, manifest)

    def _fresh_ration(self) -> Ration:
        return ration_of(self._settings, self._orders.advice, self._limits, self._profile)

    def _consider(
        self, frame: Frame, prediction: Prediction, sighting: Sighting, lane: Lane, now: float
    ) -> None:
        """Hold this sight of an object, where it might be asked about and is the best so far."""
        record = lane.records.get(sighting.sighting_id)
        if record is None:
            record = lane.records[sighting.sighting_id] = Record()
        if not record.drawn and sighting.state == "provisional":
            self._draw(record, sighting.sighting_id, now)
        record.sighting_label = sighting.label
        record.frames, record.margins = record.frames + 1, record.margins + prediction.margin
        decision = decide(prediction, sighting, self._policy, self._basis.budget, record, now)
        if decision.reason is None:
            self.counters.dropped[decision.why] += 1
            return
        box = prediction.region.box
        dhash = region_hash(frame.image, box)
        if not record.audit and not is_other_view(dhash, prediction.label, record, self._policy):
            self.counters.dropped["same"] += 1
            return
        signals = signals_of(prediction, sighting, self._policy.unknown_above)
        value = merit(sharpness(frame.image, box), min(box.width, box.height))
        if lane.views.betters(sighting.sighting_id, value):
            look = self._maker.make(
                frame, prediction, sighting.sighting_id, decision.reason, self._settings
            )
            lane.views.hold(View(look, prediction.label, dhash, value, signals), now)

    def _draw(self, record: Record, sighting_id: str, now: float) -> None:
        """Draw the audit, once a sighting; less often while even its reserve runs out."""
        record.drawn = True
        room = self._basis.budget.reserve_fill(now)
        record.audit_share = round(self._policy.audit_share * room, 6)
        record.audit = audited(sighting_id, record.audit_share)

    def _close(self, lane: Lane, closed: Sequence[Sighting], now: float, hold_s: float) -> None:
        """Ask about the views whose time has come."""
        for sighting in closed:
            if record := lane.records.get(sighting.sighting_id):
                record.sighting_label = sighting.label
        if lane.views:
            ended = {sighting.sighting_id for sighting in closed}
            self._asking = True
            for view in lane.views.due(ended, now, hold_s):
                self._ask(view, lane.records[view.sighting_id], now)
            self._asking = False

    def _ask(self, view: View, record: Record, now: float) -> None:
        """Give a view to the journal, where it is chosen or was drawn for the audit."""
        record.tried, record.dhash, record.label = record.tried + 1, view.dhash, view.label
        reason, value = view.look.meta.reason, 1.0
        if reason != "audit":
            settled = replace(view, signals=record.settled(view.signals))
            choice = choose(settled, self._policy, self._basis, now)
            self._basis = choice.basis
            if choice.why and not record.audit:
                self.counters.dropped[choice.why] += 1
                return
            reason = "audit" if choice.why else reason
            value = 1.0 if record.audit else choice.worth
        look = finished(view.look, reason, value, record)
        if not self._journal.add(look):
            self.counters.dropped["busy"] += 1
            return
        record.audit = False
        self._basis = self._basis.after(view, len(encode_look(look)), now)
        self.counters.kept += 1

    def _note(self, sighting: Sighting) -> Note:
        return Note(
            sighting.sighting_id, sighting.camera, "provisional", sighting.label or None, None,
            min(1.0, sighting.score), sighting.first_seen, sighting.last_seen, sighting.frames,
            sighting.box.as_tuple(), self._engine.model.version,
        )  # fmt: skip


def too_soon(frame: Frame, last: float, max_fps: float) -> bool:
    """Tell whether a frame comes sooner after the last one than `max_fps` allows (0: never).

    A still is always taken, and so is a frame whose time went back. A hundredth of a
    period is forgiven, or a camera at exactly that rate would lose every other frame.
    """
    return max_fps > 0 and not frame.still and 0 <= frame.moment - last < 0.99 / max_fps
