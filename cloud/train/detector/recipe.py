"""How a detector is trained: every knob, with its bounds. Pure."""

from pydantic import BaseModel, ConfigDict, Field


class DetectorRecipe(BaseModel):
    """One training run; it travels inside the model file."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    side: int = Field(default=320, ge=64, le=640, multiple_of=32)
    """Width and height of training scenes in pixels."""
    input_side: int = Field(default=512, ge=64, le=1024, multiple_of=32)
    """Width and height of the model input: the network is fully convolutional, and large scenes
    cost more than they teach (H. Touvron et al., "Fixing the train-test resolution discrepancy",
    2019)."""
    width: float = Field(default=1.0, ge=0.125, le=4.0)
    """Multiplies the channels of every layer."""
    epochs: int = Field(default=14, ge=1, le=1000)
    scenes_per_epoch: int = Field(default=1024, ge=8, le=1_000_000)
    """Composed scenes; none comes twice."""
    batch: int = Field(default=8, ge=2, le=256)
    learning_rate: float = Field(default=2e-3, gt=0.0, le=1.0)
    """At its peak: linear warm-up over the first epoch, then a cosine down to 0."""
    weight_decay: float = Field(default=0.02, ge=0.0, le=1.0)
    box_weight: float = Field(default=2.0, gt=0.0, le=100.0)
    """Weight of the loss of boxes against that of scores."""
    unmarked: float = Field(default=0.1, ge=0.0, le=1.0)
    """Weight of background in real scenes that looks like a sign; 1: their marks are complete."""
    suspects: bool = False
    """True: unmarked patches in the colours and outlines of signs teach nothing. More kinds of
    signs are found then, also such that count as false alarms where marks are incomplete."""
    frame_share: float = Field(default=0.4, ge=0.0, le=1.0)
    """Share of scenes that are a cut of one real scene ..."""
    mosaic_share: float = Field(default=0.35, ge=0.0, le=1.0)
    """... and of those put together from four; the others have a drawn ground."""
    pasted: int = Field(default=4, ge=0, le=32)
    """Sign crops pasted into a scene, at most."""
    distractors: int = Field(default=3, ge=0, le=32)
    """Things that are no signs, at most."""
    crop_step: int = Field(default=6, ge=1, le=1000)
    """Every so-manieth sign crop is used: those of one track hardly differ."""
    nms_iou: float = Field(default=0.4, ge=0.0, le=1.0)
    """Of two boxes that overlap more, the device keeps the better."""
    calibration: int = Field(default=128, ge=8, le=10_000)
    """Composed scenes that set the ranges of the quantised layers."""
    seed: int = Field(default=1, ge=0, le=2**31 - 1)
