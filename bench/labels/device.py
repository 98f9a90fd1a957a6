"""The device's own choice of what to ask, step by step as its pipeline takes them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, cast

from agent.budget import DAY_S
from agent.contract.config import Limits, Settings
from agent.decide import Basis, Record, audited, choose, decide, signals_of
from agent.held import BETTER, View, merit
from agent.policy import Ration, budget_of, policy_of
from agent.vision.tracker import Sighting
from agent.vision.types import FloatArray, Prediction

if TYPE_CHECKING:
    from agent.contract.codec import Look

PLENTY: Final = 10**9
"""Bytes a day: labels are what is scarce here."""


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """One frame of a sighting as the device sees it."""

    prediction: Prediction
    dhash: int
    sharpness: float


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a sighting."""

    why: str
    """`uncertain` or `audit`: asked. Else why not."""
    shot: int
    """The frame that was judged; of a sighting without doubt the middle one."""
    worth: float
    """0 where nothing was in doubt."""

    @property
    def asked(self) -> bool:
        """Tell whether a label is spent on it."""
        return self.why in {"uncertain", "audit"}


class Device:
    """Sees sightings in order and asks about some of them."""

    def __init__(self, looks_per_day: int, audit_share: float | None = None) -> None:
        settings = Settings(looks_per_day=looks_per_day)
        if audit_share is not None:
            settings = settings.model_copy(update={"audit_share": audit_share})
        self.policy = policy_of(settings, None, Limits(), None)
        ration = Ration(looks_per_day, PLENTY, None, settings.audit_share > 0)
        self.basis = Basis(budget_of(ration, (None, None, None), 0.0))

    def know(self, unknown_above: float) -> None:
        """Take the energy threshold of a new model."""
        self.policy = replace(self.policy, unknown_above=unknown_above)

    def see(self, sighting_id: str, shots: Sequence[Shot], day: float) -> Fate:
        """Decide about a sighting that ends at a time in days."""
        now = day * DAY_S
        record = Record(drawn=True)
        record.audit_share = self.policy.audit_share * self.basis.budget.reserve_fill(now)
        record.audit = audited(sighting_id, record.audit_share)
        best = self._best(sighting_id, shots, record, now)
        if best is None:
            return Fate("sure", len(shots) // 2, 0.0)
        number, reason, view = best
        value = 1.0
        if reason != "audit":
            settled = replace(view, signals=record.settled(view.signals))
            choice = choose(settled, self.policy, self.basis, now)
            self.basis, value = choice.basis, choice.worth
            if choice.why and not record.audit:
                return Fate(choice.why, number, value)
            reason = "audit" if choice.why else reason
        self.basis = self.basis.after(view, 1, now)
        return Fate(reason, number, value)

    def _best(
        self, sighting_id: str, shots: Sequence[Shot], record: Record, now: float
    ) -> tuple[int, str, View] | None:
        """Return the view that would be held when the sighting ends, and why it might be asked."""
        best: tuple[int, str, View] | None = None
        evidence = shots[0].prediction.scores * 0
        for number, shot in enumerate(shots):
            said = shot.prediction
            evidence = evidence + said.scores
            sighting = _sighting(sighting_id, evidence, number + 1, shots)
            record.frames, record.margins = number + 1, record.margins + said.margin
            decision = decide(said, sighting, self.policy, self.basis.budget, record, now)
            if decision.reason is None:
                continue
            signals = signals_of(said, sighting, self.policy.unknown_above)
            box = said.region.box
            value = merit(shot.sharpness, min(box.width, box.height))
            if best is None or value > best[2].merit * BETTER:
                # Nobody opens the look: what is held, sent and stored is measured elsewhere.
                unopened = cast("Look", None)
                view = View(unopened, said.label, shot.dhash, value, signals)
                best = number, decision.reason, view
        return best


def _sighting(
    sighting_id: str, evidence: FloatArray, frames: int, shots: Sequence[Shot]
) -> Sighting:
    """Return what the device's tracker would say of the frames so far."""
    said = [shot.prediction for shot in shots[:frames]]
    names = {p.index: p.label for p in said if p.index >= 0}
    best = max(names, key=lambda index: float(evidence[index]), default=-1)
    label = names.get(best, "")
    score = min(1.0, float(evidence[best]) / frames) if label else 0.0
    return Sighting(
        sighting_id, "camera", label, score, max(p.margin for p in said), 0.0, 0.0, frames,
        said[-1].region.box, "provisional",
    )  # fmt: skip
