"""The worker's config file: one TOML document, unknown keys are errors. Pure.

Secrets never stand in it: keys and passwords are named by file or environment variable.
"""

from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from agent.contract.config import BrokerConfig
from agent.contract.errors import BadContentError
from agent.contract.explain import explain

DATABASES = ("sqlite", "postgresql")
OBJECTS = ("file", "s3", "gs", "az", "memory")


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class IngestConfig(_Strict):
    """How looks are taken in."""

    batch: int = Field(default=256, ge=1, le=512)
    """Looks in one shard and one transaction at most."""
    linger_ms: int = Field(default=50, ge=0, le=1_000)
    """How long a batch may wait to fill."""
    receive_maximum: int = Field(default=512, ge=1, le=10_000)
    """Messages not acknowledged at a time; the broker's own limit may be lower."""
    retention: str = Field(default="standard", pattern=r"^[a-z0-9-]{1,32}$")
    """Retention class: a folder of its own, so that erasure compacts few shards."""
    quarantine_per_day: int = Field(default=1_000, ge=0, le=1_000_000)
    """Bad messages kept per device and day; more are only counted."""


class LabelConfig(_Strict):
    """The vision model that gives second looks, at any OpenAI-compatible address."""

    enabled: bool = True
    base_url: str = Field(default="https://api.openai.com/v1", max_length=500)
    model: str = Field(default="gpt-4o-mini", min_length=1, max_length=200)
    api_key_env: str = Field(default="OPENAI_API_KEY", max_length=100)
    """Environment variable with the key; empty together with `key_file`: no key is sent."""
    key_file: str = ""
    """File with the key, readable by the worker alone; wins over `api_key_env`."""
    timeout_s: float = Field(default=60.0, gt=0, le=600)
    """Deadline of one call, from first to last byte."""
    usd_per_million_input: float = Field(default=0.15, ge=0, le=10_000)
    usd_per_million_output: float = Field(default=0.60, ge=0, le=10_000)
    image_tokens: int = Field(default=3_000, ge=0, le=100_000)
    """Most tokens one picture may be billed as: part of what a call reserves."""
    max_output_tokens: int = Field(default=300, ge=50, le=10_000)
    daily_cap_usd: float = Field(default=1.0, ge=0, le=100_000)
    """Money per UTC day: a call is made only if its whole possible cost fits below."""
    min_confidence: float = Field(default=0.6, ge=0, le=1)
    """Answers below it go to a person."""
    concurrency: int = Field(default=4, ge=1, le=64)
    """Batches asked at the same time."""
    batch: int = Field(default=8, ge=1, le=256)
    """Looks in one durable workflow."""
    max_attempts: int = Field(default=5, ge=1, le=20)
    """Calls that may fail (timeout, server error, crash) before a person is asked."""
    retry_s: float = Field(default=2.0, ge=0.05, le=600)
    """First wait after a failed call; doubles up to `retry_cap_s`."""
    retry_cap_s: float = Field(default=300.0, ge=0.05, le=86_400)
    lease_s: float = Field(default=900.0, ge=5, le=86_400)
    """A batch that shows no progress for so long is given out again."""

    @field_validator("base_url")
    @classmethod
    def _http(cls, url: str) -> str:
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise ValueError("use http://host[:port]/path or https://host[:port]/path")
        return url


class VerdictConfig(_Strict):
    """How verdicts travel."""

    period_s: float = Field(default=0.2, ge=0.01, le=60)
    """Pause between two rounds of the publisher."""
    resend_s: float = Field(default=15.0, ge=0.5, le=86_400)
    """First wait before unapplied verdicts are sent again; doubles up to ten minutes."""


class AdviceConfig(_Strict):
    """When advice is drawn up, and from how much."""

    period_s: float = Field(default=60.0, ge=0.1, le=86_400)
    min_looks: int = Field(default=50, ge=1, le=10_000_000)
    """Labelled looks before anything is advised."""
    min_class_looks: int = Field(default=10, ge=1, le=1_000_000)
    """Labelled looks of one class before its threshold moves."""
    min_pairs: int = Field(default=3, ge=1, le=1_000_000)
    """How often two classes must be confused before it is mentioned."""
    target_error: float = Field(default=0.05, gt=0, lt=1)
    """Share of wrong answers above which a margin band should be asked about."""
    expires_s: float = Field(default=14 * 86_400.0, ge=60, le=366 * 86_400)
    window: int = Field(default=100_000, ge=100, le=10_000_000)
    """Newest labelled looks that count."""
    grants: bool = True
    """Each device is told its share of `label.daily_cap_usd`, and asks for no more."""


class KeysConfig(_Strict):
    """Where `keys init` put its folder."""

    dir: str = ""
    """Empty: nothing is signed, so neither advice nor fleet config is sent."""


class CloudConfig(_Strict):
    """The whole file."""

    name: str = Field(default="main", pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    """Name of this worker: stable over restarts, different for each worker of a fleet."""
    state_dir: str = Field(default="/var/lib/secondlook-cloud", min_length=1, max_length=1_000)
    database_url: str = ""
    """Empty: SQLite in the state folder; else `sqlite:///FILE` or `postgresql://...`."""
    objects_url: str = ""
    """Empty: a folder in the state folder; else `file://`, `s3://`, `gs://` or `az://`."""
    profile: str = Field(default="traffic-signs", min_length=1, max_length=500)
    """Name of a shipped profile, or a path to a TOML file."""
    broker: BrokerConfig = BrokerConfig()
    ingest: IngestConfig = IngestConfig()
    label: LabelConfig = LabelConfig()
    verdicts: VerdictConfig = VerdictConfig()
    advice: AdviceConfig = AdviceConfig()
    keys: KeysConfig = KeysConfig()
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @field_validator("database_url")
    @classmethod
    def _database(cls, url: str) -> str:
        if url and urlsplit(url).scheme.split("+")[0] not in DATABASES:
            raise ValueError(f"use one of {', '.join(DATABASES)}://")
        return url

    @field_validator("objects_url")
    @classmethod
    def _objects(cls, url: str) -> str:
        if url and urlsplit(url).scheme not in OBJECTS:
            raise ValueError(f"use one of {', '.join(OBJECTS)}://")
        return url

    @property
    def database(self) -> str:
        """Address of the database, the default resolved."""
        return self.database_url or f"sqlite:///{self._inside('secondlook.sqlite')}"

    @property
    def workflows_database(self) -> str:
        """Address of DBOS's own tables: the same Postgres, or a SQLite file of their own."""
        if self.database.startswith("postgresql"):
            return self.database
        return f"sqlite:///{self._inside('workflows.sqlite')}"

    @property
    def objects(self) -> str:
        """Address of the objects, the default resolved."""
        return self.objects_url or f"file://{self._inside('objects')}"

    def _inside(self, name: str) -> Path:
        return Path(self.state_dir).absolute() / name


def parse_cloud_config(document: dict[str, Any], source: str) -> CloudConfig:
    """Validate a worker config.

    Args:
        document: Parsed TOML.
        source: File name, for the message.

    Raises:
        BadContentError: names file, key, problem (with the allowed range) and value.
    """
    try:
        return CloudConfig.model_validate(document)
    except ValidationError as error:
        raise BadContentError(f"{source}: {explain(error, CloudConfig)}") from error
