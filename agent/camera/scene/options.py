"""What a `scene://` URI asks for. Pure."""

from dataclasses import dataclass
from typing import Final, Literal, get_args

from agent.camera.uri import parse_local
from agent.contract.errors import BadContentError

Condition = Literal["day", "dusk", "night", "fog", "rain", "glare", "blur"]
CONDITIONS: Final[tuple[Condition, ...]] = get_args(Condition)
MAX_SEED: Final = 2**32 - 1


@dataclass(frozen=True, slots=True)
class SceneOptions:
    """One drive."""

    seed: int = 0
    width: int = 640
    """Pixels."""
    height: int = 480
    """Pixels."""
    fps: float = 10.0
    """Frames per second of the drive; also their pace where `realtime`."""
    frames: int = 1200
    """Length of the drive."""
    signs_per_minute: float = 30.0
    """How many signs are passed, those of no class of the profile included."""
    conditions: tuple[Condition, ...] = CONDITIONS
    """Light and weather that take turns."""
    realtime: bool = False
    """True: as a live camera, newest frame wins; False: as a file, every frame."""


_KEYS: Final = (
    "width", "height", "fps", "frames", "signs_per_minute", "conditions", "realtime",
)  # fmt: skip


def parse_scene(uri: str) -> SceneOptions:
    """Read `scene://SEED?width=&height=&fps=&frames=&signs_per_minute=&conditions=&realtime=`.

    Raises:
        BadContentError: names the key, its value and what is allowed.
    """
    parts = parse_local(uri, *_KEYS)
    default = SceneOptions()
    return SceneOptions(
        seed=_seed(uri, parts.place),
        width=parts.whole("width", default.width, 160, 1920),
        height=parts.whole("height", default.height, 120, 1080),
        fps=parts.number("fps", default.fps, 1, 120),
        frames=parts.whole("frames", default.frames, 1, 10_000_000),
        signs_per_minute=parts.number("signs_per_minute", default.signs_per_minute, 1, 240),
        conditions=_conditions(uri, parts.query.get("conditions", ",".join(CONDITIONS))),
        realtime=parts.flag("realtime"),
    )


def _seed(uri: str, text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= MAX_SEED:
        return int(text)
    raise BadContentError(f"{uri}: seed {text!r}: use a whole number in 0..{MAX_SEED}")


def _conditions(uri: str, text: str) -> tuple[Condition, ...]:
    names = text.split(",")
    chosen = tuple(known for known in CONDITIONS if known in names)
    if set(names) - set(chosen):
        raise BadContentError(f"{uri}: conditions={text}: use some of {','.join(CONDITIONS)}")
    return chosen
