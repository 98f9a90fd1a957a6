"""A database with looks in it, as ingest leaves them."""

import hashlib

from sqlalchemy.engine import Engine

from agent.contract.codec import Look
from cloud.blobs import Blobs, ShardBuilder
from cloud.store import NOWHERE, Store, StoredLook
from tests.makers import NOW


def stock(engine: Engine, blobs: Blobs, *looks: Look) -> None:
    """Store looks with their pictures in one shard."""
    shard = ShardBuilder(f"looks/standard/2026/05/28/test.{looks[0].meta.look_id}.tar")
    rows = []
    for look in looks:
        place = shard.add(f"{look.meta.look_id}.jpg", look.jpeg, NOW)
        digest = hashlib.sha256(look.jpeg).hexdigest()
        rows.append(StoredLook(look.meta, digest, place, NOWHERE, NOW))
    blobs.write(shard.name, shard.finish())
    Store(engine).add(rows, [], [], NOW)
