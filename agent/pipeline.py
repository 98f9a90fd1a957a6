"""The straight line on the device: propose, classify, track, decide, keep. Shell."""

import math
import os
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from agent import __version__
from agent.base.clock import Clock
from agent.budget import Budget, daily
from agent.contract.codec import Look, encode_look
from agent.contract.config import DeviceConfig, Limits, Settings, held_threshold
from agent.contract.ids import new_id
from agent.contract.manifest import ModelManifest
from agent.contract.messages import LookMeta, Reason, ScoredLabel
from agent.contract.profile import Profile
from agent.counters import Counters
from agent.crops import encode_context, encode_crop
from agent.decide import Policy, decide, repeats
from agent.journal import Journal
from agent.machine import clock_synced
from agent.notebook import Note
from agent.twin import Orders, Twin
from agent.vision.engine import Engine
from agent.vision.predict import Classifier
from agent.vision.preprocess import region_hash
from agent.vision.propose import Proposer
from agent.vision.scores import top_k
from agent.vision.tracker import Sighting, Tracked, Tracker
from agent.vision.types import Frame, Prediction

TOP: Final = 5
CROP_MARGIN: Final = 0.15
"""A person or an LLM wants a little more around a region than the model does."""
HASHES: Final = 128
KEPT: Final = 256
"""Sightings whose count of looks is remembered; more than a tracker follows at once."""


@dataclass(slots=True)
class Lane:
    """What belongs to one camera alone."""

    proposer: Proposer
    tracker: Tracker
    hashes: deque[int] = field(default_factory=lambda: deque(maxlen=HASHES))
    kept: dict[str, int] = field(default_factory=dict)
    """Looks kept, by sighting; the oldest are dropped."""
    looked_at: float = -math.inf
    """Moment of the newest frame that was classified."""


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

    def __init__(self, parts: Parts, levels: tuple[float, float] | None) -> None:
        """Start with the budget `levels` (looks, bytes) saved by an earlier run, or full."""
        self._engine = parts.engine
        self._classifier = parts.classifier
        self._profile = parts.profile
        self._lanes = parts.lanes
        self._journal = parts.journal
        self._twin = parts.twin
        self._limits = parts.config.limits
        self._device = parts.config.device
        self._clock = parts.clock
        self._observer = parts.observer
        self._orders = parts.twin.orders
        self._policy = self._fresh_policy()
        self._settings = self._orders.settings
        self._budget = self._fresh_budget(levels)
        self.counters = Counters()

    @property
    def levels(self) -> tuple[float, float]:
        """Looks and bytes left in the budget, to be saved."""
        return self._budget.looks.level, self._budget.size.level

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
                self._consider(frame, prediction, sighting, lane)
        while len(lane.kept) > KEPT:
            lane.kept.pop(next(iter(lane.kept)))
        self.counters.sightings += len(tracked.opened)
        self.counters.timed(self._clock.monotonic() - started)

    def flush(self) -> None:
        """Close all sightings: the sources have ended."""
        for lane in self._lanes.values():
            for sighting in lane.tracker.flush():
                self._journal.add(self._note(sighting))

    def _switch(self) -> None:
        orders = self._twin.orders.at(self._twin.now())
        if orders is self._orders:
            return
        self._orders = orders
        self._policy = self._fresh_policy()
        if orders.settings is not self._settings:
            self._settings = orders.settings
            self._budget = self._fresh_budget(self.levels)
            for lane in self._lanes.values():
                lane.tracker.min_hits = self._settings.min_hits

    def _fresh_policy(self) -> Policy:
        return policy_of(self._orders, self._limits, self._engine.model.manifest)

    def _fresh_budget(self, levels: tuple[float, float] | None) -> Budget:
        now = self._clock.monotonic()
        looks, size = ration(self._settings, self._profile, self._limits)
        old_looks, old_size = levels or (None, None)
        return Budget(daily(looks, old_looks, now), daily(size, old_size, now))

    def _consider(
        self,
        frame: Frame,
        prediction: Prediction,
        sighting: Sighting,
        lane: Lane,
    ) -> None:
        now = self._clock.monotonic()
        kept = lane.kept.get(sighting.sighting_id, 0)
        decision = decide(prediction, sighting.sighting_id, self._policy, self._budget, kept, now)
        if decision.reason:
            dhash = region_hash(frame.image, prediction.region.box)
            if repeats(dhash, lane.hashes, self._policy):
                self.counters.dropped["duplicate"] += 1
                return
            look = self._look(frame, prediction, sighting, decision.reason)
            if not self._journal.add(look):
                self.counters.dropped["busy"] += 1
                return
            lane.hashes.append(dhash)
            lane.kept[sighting.sighting_id] = kept + 1
            self._budget = self._budget.spent(len(encode_look(look)), now)
            self.counters.kept += 1
        else:
            self.counters.dropped[decision.why] += 1

    def _look(
        self, frame: Frame, prediction: Prediction, sighting: Sighting, reason: Reason
    ) -> Look:
        height, width = frame.image.shape[:2]
        box = prediction.region.box.widened(CROP_MARGIN, width, height)
        jpeg = encode_crop(frame.image, box, self._settings)
        context = encode_context(frame.image, self._settings.context, len(jpeg))
        now = self._clock.now()
        meta = LookMeta(
            look_id=new_id(now, os.urandom(10)),
            device=self._device,
            camera=frame.camera,
            sighting_id=sighting.sighting_id,
            captured_at=frame.captured_at,
            # By the time the look tells, which may be from before the clock was set.
            clock_synced=clock_synced(frame.captured_at),
            frame=frame.number,
            frame_size=(width, height),
            box=prediction.region.box.as_tuple(),
            profile=self._profile.name,
            model=self._engine.model.version,
            agent=__version__,
            reason=reason,
            top=scored_labels(prediction, self._classifier.labels),
            margin=round(prediction.margin, 4),
            energy=round(prediction.energy, 3),
            context=self._settings.context,
        )
        return Look(meta, jpeg, context)

    def _note(self, sighting: Sighting) -> Note:
        return Note(
            sighting.sighting_id, sighting.camera, "provisional", sighting.label or None, None,
            min(1.0, sighting.score), sighting.first_seen, sighting.last_seen, sighting.frames,
            sighting.box.as_tuple(), self._engine.model.version,
        )  # fmt: skip


def scored_labels(prediction: Prediction, labels: tuple[str, ...]) -> tuple[ScoredLabel, ...]:
    """Return the best classes with their scores, rounded: four digits are plenty on the wire.

    Empty where the model saw nothing of the profile.
    """
    if prediction.index < 0:
        return ()
    return tuple(
        ScoredLabel(label=labels[i], score=round(float(prediction.scores[i]), 4))
        for i in top_k(prediction.scores, TOP)
    )


def too_soon(frame: Frame, last: float, max_fps: float) -> bool:
    """Tell whether a frame comes sooner after the last one than `max_fps` allows (0: never).

    A still is always taken, and so is a frame whose time went back. A hundredth of a
    period is forgiven, or a camera at exactly that rate would lose every other frame.
    """
    return max_fps > 0 and not frame.still and 0 <= frame.moment - last < 0.99 / max_fps


def policy_of(orders: Orders, limits: Limits, manifest: ModelManifest | None) -> Policy:
    """Return the policy in force: settings and advice, held within the device's limits.

    Args:
        orders: Settings and advice.
        limits: The device's own.
        manifest: The model's own thresholds; advice replaces those for margins class by class.
    """
    settings, advice = orders.settings, orders.advice
    unknown = manifest.unknown if manifest else None
    thresholds = {
        **(manifest.thresholds if manifest else {}),
        **(advice.thresholds if advice else {}),
    }
    return Policy(
        threshold=settings.threshold,
        audit_share=settings.audit_share,
        looks_per_sighting=settings.looks_per_sighting,
        duplicate_bits=settings.duplicate_bits,
        min_side=settings.min_side,
        class_thresholds={
            label: held_threshold(value, limits) for label, value in thresholds.items()
        },
        wanted=frozenset(advice.wanted) if advice else frozenset(),
        unknown_above=unknown.threshold if unknown else math.inf,
    )


def ration(settings: Settings, profile: Profile, limits: Limits) -> tuple[int, int]:
    """Return looks and bytes a day: settings, else the profile's, never above the limits."""
    looks, size = settings.looks_per_day, settings.bytes_per_day
    return (
        min(limits.looks_per_day, profile.budget.looks_per_day if looks is None else looks),
        min(limits.bytes_per_day, profile.budget.bytes_per_day if size is None else size),
    )
