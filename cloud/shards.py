"""How shards are named and filled, and how those of a crash are cleared away. Adapter."""

from datetime import datetime, timezone
from typing import Final

from agent.contract.codec import Look
from agent.contract.messages import to_json
from cloud.blobs import Blobs, ShardBuilder
from cloud.store import NOWHERE, Store, StoredLook

LOOKS: Final = "looks"
QUARANTINE: Final = "quarantine"
DATE_LEVELS: Final = 3


def clear_orphans(blobs: Blobs, store: Store, retention: str, writer: str) -> int:
    """Delete shards of one writer that a crash left without rows; return how many.

    Only of the newest days, and while the writer writes nothing.

    Raises:
        UnavailableError: storage does not answer.
    """
    prefixes = [f"{kind}/{retention}" for kind in (LOOKS, QUARANTINE)]
    names = [
        name
        for prefix in prefixes
        for name in blobs.newest(prefix, DATE_LEVELS)
        if name.rpartition("/")[2].startswith(f"{writer}.")
    ]
    orphans = sorted(set(names) - store.shards(names))
    blobs.delete(orphans)
    return len(orphans)


def add_look(shard: ShardBuilder, look: Look, received_at: float) -> StoredLook:
    """Append a look to a shard and return the row that will tell where it lies."""
    meta = look.meta
    picture = shard.add(f"{meta.look_id}.jpg", look.jpeg, received_at)
    shard.add(f"{meta.look_id}.json", to_json(meta), received_at)
    context = NOWHERE
    if look.context:
        context = shard.add(f"{meta.look_id}.context.jpg", look.context, received_at)
    return StoredLook(meta, look.sha256.hex(), picture, context, received_at)


def shard_name(kind: str, retention: str, now: float, writer: str, shard_id: str) -> str:
    """Return the name of a shard: kinds, retention classes and days are folders."""
    return f"{kind}/{retention}/{day_of(now)}/{writer}.{shard_id}.tar"


def day_of(now: float) -> str:
    """Return the UTC day as a path."""
    return datetime.fromtimestamp(now, timezone.utc).strftime("%Y/%m/%d")
