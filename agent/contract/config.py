"""The device's own file and the settings a fleet may change. Pure.

`DeviceConfig` is one TOML file that only somebody at the device can write: camera, broker,
trust, privacy masks and hard limits live there. `Settings` is the part that signed fleet config
may change, always within `Limits`.
"""

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from agent.contract.errors import BadContentError
from agent.contract.explain import explain
from agent.contract.ids import CameraName, DeviceId
from agent.contract.profile import ProposeConfig

SCHEMES = (
    "v4l2", "rtsp", "rtsps", "http", "https", "file", "dir",
    "rpicam", "jetson", "gst-test", "scene",
)  # fmt: skip
NETWORK_SCHEMES = ("rtsp", "rtsps", "http", "https")
Context = Literal["none", "thumbnail", "frame"]
CONTEXTS: tuple[Context, ...] = ("none", "thumbnail", "frame")
Point = tuple[Annotated[float, Field(ge=0, le=1)], Annotated[float, Field(ge=0, le=1)]]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CameraConfig(_Strict):
    """One image source."""

    name: CameraName
    uri: str = Field(max_length=2000)
    """Scheme one of `SCHEMES`; never a command."""
    fps: float = Field(default=0.0, ge=0.0, le=240.0)
    """Frames taken per second at most; 0: as many as come."""
    propose: ProposeConfig | None = None
    """None: the profile's way."""
    masks: tuple[Annotated[tuple[Point, ...], Field(min_length=3, max_length=64)], ...] = Field(
        default=(), max_length=32
    )
    """Privacy masks: polygons in shares of the frame, blacked out before anything else."""
    open_timeout_s: float = Field(default=10.0, gt=0, le=120)
    read_timeout_s: float = Field(default=5.0, gt=0, le=120)

    @field_validator("uri")
    @classmethod
    def _known_scheme(cls, uri: str) -> str:
        try:
            scheme, host = urlsplit(uri).scheme, urlsplit(uri).hostname
        except ValueError as error:
            raise ValueError(f"not a URI: {error}") from error
        if scheme not in SCHEMES:
            raise ValueError(f"scheme {scheme!r}: use one of {', '.join(SCHEMES)}")
        if scheme in NETWORK_SCHEMES and not host:
            raise ValueError(f"needs a host, e.g. {scheme}://192.0.2.7/stream")
        return uri


class ModelConfig(_Strict):
    """Which model file runs, and how."""

    file: str = ""
    """Empty: the profile's shipped model."""
    labels: str = ""
    """Label file of a stock model; empty: appended or beside it."""
    detector: str = ""
    """Detector model file, where regions are proposed by one and `file` classifies them; empty:
    the profile's shipped one."""
    detector_labels: str = ""
    runtime: Literal["auto", "litert", "tflite-runtime"] = "auto"
    threads: int = Field(default=1, ge=1, le=64)
    pixel_range: tuple[float, float] | None = None
    """Real input values of pixels 0 and 255, for float models without a manifest."""


class BrokerConfig(_Strict):
    """Where messages go."""

    url: str = "mqtt://localhost:1883"
    """`mqtt://host[:port]` or `mqtts://host[:port]`."""
    prefix: str = Field(default="secondlook", pattern=r"^[A-Za-z0-9_-]{1,64}$")
    protocol: Literal["5", "3.1.1"] = "5"
    keepalive_s: int = Field(default=30, ge=5, le=3600)
    in_flight: int = Field(default=8, ge=1, le=64)
    username: str = ""
    password_file: str = ""
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""

    @field_validator("url")
    @classmethod
    def _is_broker_url(cls, url: str) -> str:
        broker_address(url)
        return url

    @model_validator(mode="after")
    def _pairs(self) -> "BrokerConfig":
        if bool(self.cert_file) != bool(self.key_file):
            raise ValueError("cert_file and key_file go together")
        if self.cert_file and not self.url.startswith("mqtts://"):
            raise ValueError("a client certificate needs an mqtts:// url")
        return self


def broker_address(url: str) -> tuple[str, int, bool]:
    """Split a broker URL into host, port and whether TLS is used.

    Raises:
        ValueError: not an mqtt:// or mqtts:// URL with a host.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname:
        raise ValueError("use mqtt://host[:port] or mqtts://host[:port]")
    tls = parts.scheme == "mqtts"
    return parts.hostname, parts.port or (8883 if tls else 1883), tls


class TrustConfig(_Strict):
    """What this device believes."""

    root_file: str = ""
    """TUF root metadata; empty: no signed message is ever accepted."""
    repository: str = ""
    """Base URL of the TUF repository: https://, http:// or file://."""


class SpoolConfig(_Strict):
    """Looks waiting for their receipt."""

    max_bytes: int = Field(default=256 * 1024 * 1024, ge=100_000, le=10**12)
    min_free_bytes: int = Field(default=64 * 1024 * 1024, ge=0, le=10**12)
    """Free space that is left to the rest of the system."""
    ledger: bool = False
    """True: what happens to each look is also appended to `ledger.log`: `accepted ID BYTES`,
    `receipted ID`, `evicted ID`, each line before the deed."""


class Limits(_Strict):
    """Hard ceilings: no message from outside can loosen them."""

    looks_per_day: int = Field(default=5_000, ge=0, le=1_000_000)
    bytes_per_day: int = Field(default=50_000_000, ge=0, le=10_000_000_000)
    usd_per_day: float | None = Field(default=None, ge=0, le=1e6, allow_inf_nan=False)
    """The most money that the cloud may grant; None: as much as it grants."""
    context: Context = "none"
    """The most that may ever leave beside the region itself."""
    min_threshold: float = Field(default=0.05, ge=0, le=1)
    max_threshold: float = Field(default=0.95, ge=0, le=1)
    """Between these, advice and fleet config may move margin thresholds."""

    @model_validator(mode="after")
    def _lowest_first(self) -> "Limits":
        if self.min_threshold > self.max_threshold:
            raise ValueError("min_threshold must not be above max_threshold")
        return self


class Settings(_Strict):
    """What signed fleet config may change."""

    threshold: float = Field(default=0.5, ge=0.0, le=1.0)
    """Predictions whose calibrated margin is below it are uncertain."""
    audit_share: float = Field(default=0.01, ge=0.0, le=1.0)
    """Share of all sightings that are asked about by chance alone, to measure the true error."""
    looks_per_day: int | None = Field(default=None, ge=0, le=1_000_000)
    """None: the profile's."""
    bytes_per_day: int | None = Field(default=None, ge=0, le=10_000_000_000)
    looks_per_sighting: int = Field(default=1, ge=1, le=50)
    """The best view of a sighting is asked about; more, where it shows or says something else."""
    hold_s: float = Field(default=2.0, ge=0.0, le=60.0)
    """A view waits so long for a better one of its sighting; 0: none waits."""
    min_side: int = Field(default=16, ge=4, le=512)
    """Regions whose shorter side has fewer pixels are not asked about."""
    duplicate_bits: int = Field(default=6, ge=0, le=32)
    """Model inputs whose dHashes differ in at most so many bits are duplicates."""
    context: Context = "none"
    crop_quality: int = Field(default=85, ge=30, le=95)
    crop_max_side: int = Field(default=96, ge=32, le=512)
    """Regions are scaled down to at most so many pixels a side before coding."""
    crop_max_bytes: int = Field(default=3_000, ge=500, le=60_000)
    """Quality, then size, are lowered until a region's JPEG fits."""
    max_fps: float = Field(default=0.0, ge=0.0, le=240.0)
    """Frames classified per second and camera; 0: all."""
    min_hits: int = Field(default=2, ge=1, le=30)
    """Frames a track needs before it is a sighting (stills: 1)."""
    telemetry_period_s: float = Field(default=60.0, ge=1.0, le=86_400.0)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"


class DeviceConfig(_Strict):
    """The whole file."""

    device: DeviceId
    profile: str = Field(default="traffic-signs", min_length=1, max_length=500)
    """Name of a shipped profile, or a path to a TOML file."""
    state_dir: str = "/var/lib/secondlook"
    camera: tuple[CameraConfig, ...] = Field(min_length=1, max_length=16)
    model: ModelConfig = ModelConfig()
    broker: BrokerConfig = BrokerConfig()
    trust: TrustConfig = TrustConfig()
    spool: SpoolConfig = SpoolConfig()
    limits: Limits = Limits()
    settings: Settings = Settings()

    @model_validator(mode="after")
    def _camera_names_differ(self) -> "DeviceConfig":
        names = [c.name for c in self.camera]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"camera names must differ: {name!r} stands twice")
        return self


def parse_config(document: dict[str, Any], source: str) -> DeviceConfig:
    """Validate a device config.

    Args:
        document: Parsed TOML.
        source: File name, for the message.

    Raises:
        BadContentError: names file, key, problem (with the allowed range) and value.
    """
    try:
        return DeviceConfig.model_validate(document)
    except ValidationError as error:
        raise BadContentError(f"{source}: {explain(error, DeviceConfig)}") from error


def changed_settings(current: Settings, changes: dict[str, Any], limits: Limits) -> Settings:
    """Return `current` with fleet config applied as a whole, held within the local limits.

    Raises:
        BadContentError: an unknown key or a value out of range; nothing is applied.
    """
    try:
        wanted = Settings.model_validate({**current.model_dump(), **changes})
    except ValidationError as error:
        raise BadContentError(f"insane: {explain(error, Settings)}") from error
    return within(wanted, limits)


def held_threshold(value: float, limits: Limits) -> float:
    """Return a margin threshold (0..1) as the device's own limits let it count."""
    return min(max(value, limits.min_threshold), limits.max_threshold)


def within(settings: Settings, limits: Limits) -> Settings:
    """Return the settings cut back to the device's own limits."""
    context = min(settings.context, limits.context, key=CONTEXTS.index)
    looks, size = settings.looks_per_day, settings.bytes_per_day
    return settings.model_copy(
        update={
            "context": context,
            "threshold": held_threshold(settings.threshold, limits),
            "looks_per_day": None if looks is None else min(looks, limits.looks_per_day),
            "bytes_per_day": None if size is None else min(size, limits.bytes_per_day),
        }
    )
