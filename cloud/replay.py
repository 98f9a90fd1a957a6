"""Messages that were set aside are tried again, as after an upgrade that reads them now. Shell.

The order is ingest's: shard durable, then one transaction that stores the looks and forgets the
messages. A crash anywhere leaves messages that are still set aside. No receipts: the devices were
told already that they need not send these again.
"""

import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from agent.base.clock import Clock
from agent.base.crash import crash_point
from agent.contract.codec import Look
from agent.contract.errors import BadContentError
from agent.contract.ids import new_id
from agent.contract.topics import Topics
from cloud.blobs import Blobs, ShardBuilder
from cloud.ingest import conflict
from cloud.quarantine import Kept, Quarantine
from cloud.shards import LOOKS, add_look, clear_orphans, shard_name
from cloud.sieve import Bad, sift
from cloud.store import Store, TakenError

log = logging.getLogger(__name__)

AT_ONCE: Final = 64
Fate = Literal["stored", "known", "past", "bad", "cut"]
"""`stored`: a look, now; `known`: it was stored meanwhile; `past`: what a device said of itself
then, or a question whether anybody answers: readable, but of no use any more; `bad`: still so;
`cut`: too large to have been kept whole."""


@dataclass(slots=True)
class Round:
    """What is to be done about a few messages."""

    looks: dict[str, tuple[Kept, Look]] = field(default_factory=dict)
    gone: list[int] = field(default_factory=list)
    reasons: dict[int, str] = field(default_factory=dict)
    fates: list[tuple[Kept, Fate, str]] = field(default_factory=list)
    """Each message with what became of it, and why."""

    def forget(self, kept: Kept, fate: Fate, why: str = "") -> None:
        """Let a message go."""
        self.gone.append(kept.number)
        self.fates.append((kept, fate, why))

    def stay(self, kept: Kept, why: str) -> None:
        """Keep a message, with what is wrong with it now."""
        self.reasons[kept.number] = why
        self.fates.append((kept, "bad", why))


class Replay:
    """Tries messages again. For one process at a time under one name."""

    def __init__(
        self, topics: Topics, store: Store, blobs: Blobs, retention: str, name: str, clock: Clock
    ) -> None:
        """Wire the parts.

        Args:
            topics: Names of channels.
            store: Looks, and with the same database what was set aside.
            blobs: Pictures and payloads.
            retention: Class of the new shards.
            name: Part of the new shards' names; no worker's, for workers clear away orphans.
            clock: Time.
        """
        self._topics = topics
        self._store = store
        self._quarantine = Quarantine(store.engine)
        self._blobs = blobs
        self._retention = retention
        self._name = name
        self._clock = clock

    def clear_orphans(self) -> int:
        """Delete shards of replays that a crash left without rows; return how many.

        Raises:
            UnavailableError: storage does not answer.
        """
        return clear_orphans(self._blobs, self._store, self._retention, self._name)

    def run(self, messages: Sequence[Kept]) -> list[tuple[Kept, Fate, str]]:
        """Try messages again; return each with what became of it, and why.

        Raises:
            TakenError: somebody else settles some of them; call it again.
            UnavailableError: storage does not answer; what was settled before stays so.
        """
        fates = []
        for at in range(0, len(messages), AT_ONCE):
            fates += self._try(messages[at : at + AT_ONCE])
        return fates

    def _try(self, messages: Sequence[Kept]) -> list[tuple[Kept, Fate, str]]:
        found = self._sort(messages)
        name = shard_name(LOOKS, self._retention, self._clock.now(), self._name, self._new_id())
        shard = ShardBuilder(name)
        new = [add_look(shard, look, kept.received_at) for kept, look in found.looks.values()]
        for kept, _ in found.looks.values():
            found.forget(kept, "stored")
        try:
            if new:
                self._blobs.write(shard.name, shard.finish())
                crash_point("replay-after-shard")
            self._quarantine.settle(new, found.gone, found.reasons)
        except TakenError:
            self._blobs.delete([name])
            raise
        except BadContentError as error:
            self._blobs.delete([name])
            if len(messages) > 1:
                return [fate for kept in messages for fate in self._try([kept])]
            self._quarantine.settle([], [], {messages[0].number: str(error)[:300]})
            return [(messages[0], "bad", str(error)[:300])]
        crash_point("replay-after-commit")
        return found.fates

    def _sort(self, messages: Sequence[Kept]) -> Round:
        found = Round()
        for kept in messages:
            if not kept.whole:
                why = f"only {kept.place.length} of {kept.size} bytes were kept"
                found.fates.append((kept, "cut", why))
                continue
            what = sift(self._topics, kept.topic, self._blobs.read(kept.place))
            if isinstance(what, Bad):
                found.stay(kept, what.reason)
            elif isinstance(what, Look) and what.meta.reason != "probe":
                self._add(found, kept, what)
            else:
                found.forget(kept, "past")
        self._compare(found)
        return found

    @staticmethod
    def _add(found: Round, kept: Kept, look: Look) -> None:
        first = found.looks.setdefault(look.meta.look_id, (kept, look))[1]
        if first is look:
            return
        if first.sha256 == look.sha256:
            found.forget(kept, "known")
        else:
            found.stay(kept, conflict(look).reason)

    def _compare(self, found: Round) -> None:
        known = self._store.known(found.looks)
        for look_id, digest in known.items():
            kept, look = found.looks.pop(look_id)
            if digest == look.sha256.hex():
                found.forget(kept, "known")
            else:
                found.stay(kept, conflict(look).reason)

    def _new_id(self) -> str:
        return new_id(self._clock.now(), secrets.token_bytes(10))
