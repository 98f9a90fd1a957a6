"""Which looks go next, how many at a time, and what follows from the broker's word."""

import random
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import cv2
import numpy as np
import pytest

from agent.contract.codec import Look, decode_look, encode_look
from agent.contract.config import SpoolConfig
from agent.contract.messages import ScoredLabel
from agent.packet_limit import OVERTAKEN, SUSPECT_BYTES
from agent.sending import (
    AFTER_RECONNECT_S,
    REFUSED_S,
    RESEND_S,
    TOPIC_BYTES,
    WINDOW,
    Sending,
)
from agent.session import Acked, Session
from agent.spool import Spool
from agent.spool_index import LIVE_S
from tests.makers import FakeClock, an_id, look, meta


class Broker:
    """A session that takes all it is given and says nothing by itself."""

    def __init__(self) -> None:
        self.link = SimpleNamespace(max_packet=None, too_large=False)
        self.in_flight = self.room = 128
        self.sent: list[Look] = []
        self.sizes: list[int] = []

    def publish(self, topic: str, payload: bytes) -> int:
        self.sent.append(decode_look(payload))
        self.sizes.append(len(payload))
        return len(self.sent)

    @property
    def ids(self) -> list[str]:
        return [item.meta.look_id for item in self.sent]


class Bench:
    """A spool, a broker and what sends from the one to the other."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.spool = Spool(folder, SpoolConfig(min_free_bytes=0), self.clock)
        self.broker = Broker()
        session = cast("Session", self.broker)
        self.sending = Sending(session, "cam-1", "looks", self.spool, self.clock, random.Random(1))

    def step(self, seconds: float = 0.0) -> list[str]:
        """Let time pass and send; return what was sent."""
        before = len(self.broker.sent)
        self.clock.pass_(seconds)
        self.sending.step()
        return self.broker.ids[before:]

    def acked_step(self, seconds: float) -> list[str]:
        """The same, and the broker acknowledges all of it."""
        sent = self.step(seconds)
        for mid in range(len(self.broker.sent) - len(sent), len(self.broker.sent)):
            self.ack(mid + 1)
        return sent

    def ack(self, mid: int, reason: str = "Success", **changes: Any) -> bool:
        values = {"accepted": True, "unheard": False, **changes}
        return self.sending.acked(Acked(1, mid, reason=reason, **values))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    found = Bench(tmp_path)
    yield found
    found.spool.close()


def noisy(n: int, side: int, **changes: Any) -> Look:
    """A look whose picture does not compress."""
    pixels = np.random.default_rng(n).integers(0, 256, (side, side, 3), np.uint8)
    return Look(meta(n, **changes), cv2.imencode(".jpg", pixels)[1].tobytes())


def test_looks_without_receipt_are_sent_again_ever_more_seldom(bench: Bench) -> None:
    bench.spool.put([look(1)])
    assert bench.step() == [an_id(1)]
    assert bench.ack(1)
    assert bench.step(RESEND_S[0] - 1) == []
    assert bench.step(1) == [an_id(1)]
    assert bench.step(2 * RESEND_S[0] - 1) == []
    assert bench.step(1) == [an_id(1)]
    assert bench.sending.receipted([an_id(1)]) == 1
    assert bench.step(1e6) == []


def test_a_cloud_that_is_away_costs_a_look_now_and_then(bench: Bench) -> None:
    bench.spool.put([look(n) for n in range(500)])
    sent = [len(bench.acked_step(1.0)) for _ in range(3_600)]
    assert sum(sent) < 500, "not the whole spool, again and again"
    assert sum(sent[-600:]) >= 10, "but it keeps asking"
    assert "does the cloud worker run?" in bench.sending.problem
    bench.sending.receipted(bench.broker.ids[-1:])
    assert bench.sending.problem == ""
    for _ in range(900):
        bench.sending.receipted(bench.acked_step(1.0))
    assert bench.spool.totals()[0] == 0, "and all of it goes once the cloud is back"


def test_the_backlog_leaves_room_for_live_looks(bench: Bench) -> None:
    bench.broker.in_flight = bench.broker.room = 8
    bench.spool.put([look(n) for n in range(100)])
    bench.clock.pass_(LIVE_S + 1)
    assert len(bench.step()) == 4, "half of what may be on the wire"
    bench.broker.room = 4
    bench.spool.put([look(n) for n in range(200, 220)])
    assert bench.step() == [an_id(n) for n in range(200, 204)]
    for mid in (1, 2, 3, 4):
        bench.ack(mid)
    bench.sending.receipted(bench.broker.ids[:4])
    assert bench.step()[-1] not in [an_id(n) for n in range(200, 220)], "nor is it starved"


def test_receipts_open_the_window(bench: Bench) -> None:
    bench.spool.put([look(n) for n in range(300)])
    first = bench.step()
    assert len(first) == WINDOW // 8
    bench.sending.receipted(first)
    assert len(bench.step()) == 2 * len(first)
    bench.sending.receipted(bench.broker.ids)
    bench.sending.receipted(bench.broker.ids[:64])
    assert len(bench.step()) == WINDOW


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("Not authorized", "check its access rules"),
        ("No matching subscribers", "does the worker run"),
        ("Quota exceeded", "takes no looks now (Quota exceeded)"),
    ],
)
def test_a_refused_look_stays_and_somebody_is_told(bench: Bench, reason: str, words: str) -> None:
    bench.spool.put([look(n) for n in range(3)])
    bench.step()
    unheard = "subscribers" in reason
    assert bench.ack(1, reason, accepted=unheard, unheard=unheard)
    assert words in bench.sending.problem
    assert bench.spool.totals()[0] == 3
    assert bench.spool.by_attempts() == {0: 1, 1: 2}, "refused is not sent"
    assert bench.step(REFUSED_S[0] / 2 - 0.1) == []
    bench.sending.receipted([an_id(1), an_id(2)])
    assert bench.step(REFUSED_S[0]) == [an_id(0)]
    assert bench.ack(4)
    assert bench.sending.problem == ""


def test_what_is_refused_together_costs_one_pause(bench: Bench) -> None:
    bench.spool.put([look(n) for n in range(5)])
    assert len(bench.step()) == 5
    for mid in range(1, 6):
        bench.ack(mid, "Quota exceeded", accepted=False)
    assert len(bench.step(REFUSED_S[0])) == 1
    assert bench.ack(6)
    bench.sending.receipted(bench.broker.ids[-1:])
    assert len(bench.step()) == 2, "and then all of them at once again"


def test_over_the_announced_limit_a_look_is_made_to_fit(bench: Bench) -> None:
    limit = bench.broker.link.max_packet = 4_000
    large = noisy(1, 96, context="frame")
    bench.spool.put([Look(large.meta, large.jpeg, large.jpeg), look(2)])
    assert bench.step() == [an_id(1), an_id(2)]
    shrunk = bench.broker.sent[0]
    assert bench.broker.sizes[0] < limit
    assert (shrunk.context, shrunk.meta.context) == (b"", "none")
    picture = cv2.imdecode(np.frombuffer(shrunk.jpeg, np.uint8), 1)
    assert picture is not None
    assert picture.shape[0] > 40
    bench.step(RESEND_S[0])
    assert bench.broker.sent[2] == shrunk, "the same bytes, or the cloud would see a conflict"


def test_what_cannot_be_made_to_fit_is_held_back_and_the_others_go(bench: Bench) -> None:
    many = tuple(ScoredLabel(label=f"{n} {'long ' * 20}", score=0.1) for n in range(10))
    bench.spool.put([look(1, top=many), look(2)])
    bench.broker.link.max_packet = len(encode_look(look(2))) + TOPIC_BYTES
    assert bench.step() == [an_id(2)]
    assert "looks held back: 1 (the broker takes no more than" in bench.sending.problem
    assert (bench.spool.totals()[0], bench.spool.evicted) == (2, 0), "nothing is given up"
    bench.broker.link.max_packet = None
    bench.sending.reconnected()
    assert an_id(1) in bench.step(AFTER_RECONNECT_S), "another broker may take it"
    assert "held back" not in bench.sending.problem


def test_looks_of_another_device_are_held_back(bench: Bench) -> None:
    bench.spool.put([look(1, device="cam-9"), look(2)])
    assert bench.step() == [an_id(2)]
    assert "made as cam-9, this device is cam-1" in bench.sending.problem


def test_a_file_that_cannot_be_read_holds_up_nobody(bench: Bench, tmp_path: Path) -> None:
    bench.spool.put([look(1), look(2)])
    path = next((tmp_path / "looks").glob(f"{an_id(1)}.*"))
    path.unlink()
    path.mkdir()  # reading it fails, also for root
    assert bench.step() == [an_id(2)]
    assert "Is a directory" in bench.sending.problem


def test_looks_that_nobody_receipts_do_not_keep_the_others_waiting(bench: Bench) -> None:
    bench.broker.in_flight = bench.broker.room = 8
    unwanted = {an_id(n) for n in range(12)}
    bench.spool.put([look(n, worth=1.0) for n in range(12)])
    bench.spool.put([look(n, worth=0.4) for n in range(100, 200)])
    delivered = set()
    for second in range(3_600):
        if second % 120 == 0:
            bench.spool.put([look(1_000 + second, worth=0.5)])
        for look_id in bench.acked_step(1.0):
            if look_id not in unwanted:
                bench.sending.receipted([look_id])
                delivered.add(look_id)
    assert len(delivered) == 100 + 3_600 // 120


def test_with_one_place_live_looks_and_backlog_take_turns(bench: Bench) -> None:
    bench.broker.in_flight = bench.broker.room = 1
    bench.spool.put([look(n) for n in range(50)])
    bench.clock.pass_(LIVE_S + 1)
    bench.spool.put([look(n) for n in range(100, 103)])
    sent = []
    for _ in range(10):
        done = bench.acked_step(0.1)
        bench.sending.receipted(done)
        sent += done
    assert {an_id(100), an_id(101), an_id(102)} < set(sent)
    assert len(sent) == 10


def test_a_look_may_be_sent_a_thousand_times(bench: Bench) -> None:
    bench.spool.put([look(1)])
    for _ in range(1_100):
        bench.acked_step(RESEND_S[1])
    assert bench.broker.ids.count(an_id(1)) == 1_100
    assert bench.spool.by_attempts() == {10: 1}


def test_a_broker_that_calls_a_look_too_large_is_sent_smaller_ones(bench: Bench) -> None:
    bench.spool.put([noisy(1, 200)])
    bench.step()
    bench.ack(1, "Packet too large", accepted=False)
    assert bench.step() == [an_id(1)]
    assert bench.broker.sizes[1] <= bench.broker.sizes[0] // 2


def test_a_connection_that_ends_under_a_large_look(bench: Bench) -> None:
    bench.spool.put([noisy(1, 200), look(2)])
    bench.step()
    assert bench.broker.sizes[0] > SUSPECT_BYTES
    assert bench.ack(2)
    bench.sending.reconnected()
    assert bench.step() == [an_id(1)], "what the broker does not have, at once"
    assert bench.step(AFTER_RECONNECT_S) == [an_id(2)]
    assert bench.broker.sizes[2] <= bench.broker.sizes[0] // 2
    assert bench.broker.sizes[3] == bench.broker.sizes[1], "small looks are never suspected"


def test_a_small_look_is_suspected_only_where_the_broker_says_so(bench: Bench) -> None:
    bench.spool.put([noisy(1, 64)])
    bench.step()
    bench.broker.link.too_large = True
    bench.sending.reconnected()
    bench.step(AFTER_RECONNECT_S)
    assert bench.broker.sizes[1] <= bench.broker.sizes[0] // 2


def test_a_large_look_that_is_swallowed_while_others_arrive(bench: Bench) -> None:
    bench.spool.put([noisy(1, 200), *(look(n) for n in range(2, 2 + OVERTAKEN))])
    bench.step()
    bench.sending.receipted([an_id(n) for n in range(2, 2 + OVERTAKEN)])
    assert bench.step(RESEND_S[0]) == [an_id(1)]
    assert bench.broker.sizes[-1] <= bench.broker.sizes[0] // 2


def test_a_spoilt_look_is_set_aside_before_it_is_sent(bench: Bench, tmp_path: Path) -> None:
    bench.spool.put([look(1), look(2)])
    next((tmp_path / "looks").glob(f"{an_id(1)}.*")).write_bytes(b"spoilt")
    assert bench.step() == [an_id(2)]
    assert (tmp_path / "looks" / f"{an_id(1)}.bad").exists()
