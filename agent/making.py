"""From a region worth asking about to a look. Adapter."""

import os
from dataclasses import dataclass, replace
from typing import Final

from agent import __version__
from agent.base.clock import Clock
from agent.contract.codec import Look
from agent.contract.config import Settings
from agent.contract.ids import new_id
from agent.contract.messages import LookMeta, Reason, ScoredLabel
from agent.crops import encode_context, encode_crop
from agent.decide import Record
from agent.machine import clock_synced
from agent.vision.scores import top_k
from agent.vision.types import Frame, Prediction

TOP: Final = 5
CROP_MARGIN: Final = 0.15
"""A person or an LLM wants a little more around a region than the model does."""


@dataclass(frozen=True, slots=True)
class LookMaker:
    """Makes the looks of one device and model."""

    device: str
    profile: str
    model: str
    labels: tuple[str, ...]
    """Of the model's outputs."""
    clock: Clock

    def make(
        self,
        frame: Frame,
        prediction: Prediction,
        sighting_id: str,
        reason: Reason,
        settings: Settings,
    ) -> Look:
        """Cut, code and describe a region; what it is worth is filled in by `finished`."""
        height, width = frame.image.shape[:2]
        box = prediction.region.box.widened(CROP_MARGIN, width, height)
        jpeg = encode_crop(frame.image, box, settings)
        context = encode_context(frame.image, settings.context, len(jpeg))
        meta = LookMeta(
            look_id=new_id(self.clock.now(), os.urandom(10)),
            device=self.device,
            camera=frame.camera,
            sighting_id=sighting_id,
            captured_at=frame.captured_at,
            # By the time the look tells, which may be from before the clock was set.
            clock_synced=clock_synced(frame.captured_at),
            frame=frame.number,
            frame_size=(width, height),
            box=prediction.region.box.as_tuple(),
            profile=self.profile,
            model=self.model,
            agent=__version__,
            reason=reason,
            top=scored_labels(prediction, self.labels),
            margin=round(prediction.margin, 4),
            energy=round(prediction.energy, 3),
            context=settings.context,
        )
        return Look(meta, jpeg, context)


def finished(look: Look, reason: Reason, value: float, record: Record) -> Look:
    """Return a held look with what is known only when it is sent."""
    final = {
        "reason": reason,
        "worth": round(value, 3),
        "sighting_label": record.sighting_label or None,
        "audit_share": record.audit_share,
        "audited": record.audit,
    }
    return replace(look, meta=look.meta.model_copy(update=final))


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
