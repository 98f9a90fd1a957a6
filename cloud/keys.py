"""The trust root of a fleet: TUF metadata, and the key that signs config and advice. Adapter.

`keys init DIR` makes

- `DIR/root.json`: the one trust file that a device is given;
- `DIR/repository/`: static files to serve over HTTPS (`metadata/` and, with hash-prefixed names,
  `targets/`);
- `DIR/private/`: private keys as PEM, mode 0600. Root keys (two of three sign) and the targets
  key belong offline; snapshot, timestamp and config keys stay with the worker.

The config key's public half is the target `keys/config.json`:
`{"keys": [{"keyid": ID, "keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": HEX}}]}`,
one entry per valid key, each the dict form of a securesystemslib `Key` with its id beside it.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.exceptions import StorageError
from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import (
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from agent.base.files import sync_folder
from agent.contract.errors import BadContentError, UnavailableError
from cloud.blobs import write_durably

ROOT_NAMES: Final = ("root-1", "root-2", "root-3")
ROOT_THRESHOLD: Final = 2
OFFLINE: Final = (*ROOT_NAMES, "targets")
ONLINE: Final = ("snapshot", "timestamp", "config")
DAYS: Final = {"root": 365, "targets": 365, "snapshot": 30, "timestamp": 30}
CONFIG_TARGET: Final = "keys/config.json"


@dataclass(frozen=True, slots=True)
class Made:
    """What `init_keys` made."""

    root_file: Path
    repository: Path
    offline: tuple[Path, ...]
    """Private keys to take off this machine."""
    online: tuple[Path, ...]
    """Private keys that the worker needs."""


def init_keys(folder: Path, now: datetime | None = None) -> Made:
    """Make keys and the first repository.

    Args:
        folder: New or empty folder.
        now: Time of issue; None: the clock's.

    Raises:
        BadContentError: the folder holds something; nothing is overwritten.
        UnavailableError: it cannot be written.
    """
    now = now or datetime.now(timezone.utc)
    try:
        if folder.exists() and any(folder.iterdir()):
            raise BadContentError(f"{folder}: not empty; keys are never overwritten, name another")
        private = folder / "private"
        private.mkdir(parents=True)
        private.chmod(0o700)
        signers = {name: _new_key(private / f"{name}.pem") for name in (*OFFLINE, *ONLINE)}
        sync_folder(private)
        _write_repository(folder, signers, now)
    except OSError as error:
        raise UnavailableError(f"{folder}: {error.strerror}") from error
    return Made(
        folder / "root.json",
        folder / "repository",
        tuple(private / f"{name}.pem" for name in OFFLINE),
        tuple(private / f"{name}.pem" for name in ONLINE),
    )


def load_signer(folder: Path, name: str = "config") -> CryptoSigner:
    """Read a private key made by `init_keys`.

    Raises:
        UnavailableError: it is not there.
        BadContentError: it is no unencrypted Ed25519 key in PEM form.
    """
    path = folder / "private" / f"{name}.pem"
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except OSError as error:
        raise UnavailableError(
            f"{path}: {error.strerror}; make keys with `secondlook-cloud keys init DIR`"
        ) from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BadContentError(f"{path}: not a private key we read: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise BadContentError(f"{path}: not an Ed25519 key")
    return CryptoSigner(key)


def renew(folder: Path, now: datetime) -> bool:
    """Sign snapshot and timestamp anew once half their life is over, with the online keys.

    Without it devices refuse the repository when its timestamp expires.

    Returns:
        True when something was written.

    Raises:
        UnavailableError: keys or repository cannot be read or written.
        BadContentError: they are not what `init_keys` made.
    """
    metadata = folder / "repository" / "metadata"
    try:
        stamp = Metadata[Timestamp].from_file(str(metadata / "timestamp.json"))
        version = stamp.signed.snapshot_meta.version
        snapshot = Metadata[Snapshot].from_file(str(metadata / f"{version}.snapshot.json"))
        half = timedelta(days=min(DAYS["snapshot"], DAYS["timestamp"]) / 2)
        if min(stamp.signed.expires, snapshot.signed.expires) - now > half:
            return False
        snapshot.signed.version += 1
        snapshot.signed.expires = _expires("snapshot", now)
        signed = _sign(snapshot, [load_signer(folder, "snapshot")])
        stamp.signed.version += 1
        stamp.signed.expires = _expires("timestamp", now)
        stamp.signed.snapshot_meta = _described(signed, snapshot.signed.version)
        write_durably(metadata / f"{snapshot.signed.version}.snapshot.json", signed)
        # Last: until it points to the new snapshot, the old pair is served whole.
        stamped = _sign(stamp, [load_signer(folder, "timestamp")])
        write_durably(metadata / "timestamp.json", stamped)
    except (RepositoryError, StorageError, OSError) as error:
        raise UnavailableError(f"{metadata}: {error}; cannot renew the repository") from error
    return True


def _new_key(path: Path) -> CryptoSigner:
    signer = CryptoSigner.generate_ed25519()
    # Created with its final mode: there is no moment at which others could read it.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(signer.private_bytes)
        file.flush()
        os.fsync(file.fileno())
    return signer


def _write_repository(folder: Path, signers: dict[str, CryptoSigner], now: datetime) -> None:
    metadata, targets = folder / "repository" / "metadata", folder / "repository" / "targets"
    config_key = signers["config"].public_key
    document = {"keys": [{"keyid": config_key.keyid, **config_key.to_dict()}]}
    data = json.dumps(document, indent=1, sort_keys=True).encode()
    digest = hashlib.sha256(data).hexdigest()
    kind, _, name = CONFIG_TARGET.rpartition("/")
    write_durably(targets / kind / f"{digest}.{name}", data)

    signed: dict[str, bytes] = {}
    listed = Targets(expires=_expires("targets", now))
    listed.targets[CONFIG_TARGET] = TargetFile.from_data(CONFIG_TARGET, data, ["sha256"])
    signed["1.targets.json"] = _sign(Metadata(listed), [signers["targets"]])
    snapshot = Snapshot(expires=_expires("snapshot", now))
    snapshot.meta["targets.json"] = _described(signed["1.targets.json"])
    signed["1.snapshot.json"] = _sign(Metadata(snapshot), [signers["snapshot"]])
    stamp = Timestamp(expires=_expires("timestamp", now))
    stamp.snapshot_meta = _described(signed["1.snapshot.json"])
    signed["timestamp.json"] = _sign(Metadata(stamp), [signers["timestamp"]])
    signed["1.root.json"] = _sign(
        Metadata(_root(signers, now)), [signers[name] for name in ROOT_NAMES]
    )
    for name, content in signed.items():
        write_durably(metadata / name, content)
    write_durably(folder / "root.json", signed["1.root.json"])


def _root(signers: dict[str, CryptoSigner], now: datetime) -> Root:
    root = Root(expires=_expires("root", now), consistent_snapshot=True)
    for name in ROOT_NAMES:
        root.add_key(signers[name].public_key, "root")
    for role in ("targets", "snapshot", "timestamp"):
        root.add_key(signers[role].public_key, role)
    root.roles["root"].threshold = ROOT_THRESHOLD
    return root


def _sign(metadata: Metadata[Any], signers: list[CryptoSigner]) -> bytes:
    metadata.signatures.clear()
    for signer in signers:
        metadata.sign(signer, append=True)
    return metadata.to_bytes()


def _described(data: bytes, version: int = 1) -> MetaFile:
    return MetaFile(version, len(data), {"sha256": hashlib.sha256(data).hexdigest()})


def _expires(role: str, now: datetime) -> datetime:
    return now.replace(microsecond=0) + timedelta(days=DAYS[role])
