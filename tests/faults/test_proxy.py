"""The proxy does to a connection what it says."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.faults.proxy import Proxy


@contextmanager
def echo() -> Iterator[int]:
    """A server on loopback that sends back what it gets."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(peer: socket.socket) -> None:
        with peer:
            try:
                while data := peer.recv(4_096):
                    peer.sendall(data)
            except OSError:
                return

    def accept() -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(peer,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield int(listener.getsockname()[1])
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with echo() as port, Proxy(port) as found:
        yield found


def dial(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), 5)


def said(peer: socket.socket, data: bytes) -> bytes:
    """What comes back."""
    peer.sendall(data)
    found = b""
    while len(found) < len(data) and (part := peer.recv(4_096)):
        found += part
    return found


def test_hands_on_what_it_gets(proxy: Proxy) -> None:
    data = bytes(range(256)) * 100
    with dial(proxy) as peer:
        assert said(peer, data) == data
    assert (proxy.up, proxy.down, len(proxy.arrivals)) == (len(data), len(data), 1)


def test_a_polite_end_is_handed_on(proxy: Proxy) -> None:
    with dial(proxy) as peer:
        peer.sendall(b"bye")
        peer.shutdown(socket.SHUT_WR)
        assert peer.recv(10) in (b"bye", b"")


def test_cut_resets_the_present_and_lets_new_ones_in(proxy: Proxy) -> None:
    with dial(proxy) as peer:
        assert said(peer, b"hello") == b"hello"
        proxy.cut()
        with pytest.raises(ConnectionError):
            peer.recv(10)
    with dial(proxy) as peer:
        assert said(peer, b"again") == b"again"


def test_refused(proxy: Proxy) -> None:
    proxy.refuse = True
    with pytest.raises(ConnectionError), dial(proxy) as peer:
        peer.recv(10)
    assert len(proxy.arrivals) == 1


def test_nobody_behind_it_is_refused() -> None:
    with echo() as port:
        pass
    with Proxy(port) as proxy, pytest.raises(ConnectionError), dial(proxy) as peer:
        peer.recv(10)


def test_half_open_swallows_and_tells_nobody(proxy: Proxy) -> None:
    with dial(proxy) as dead, dial(proxy) as other:
        assert said(dead, b"hello") == b"hello"
        proxy.half_open()
        dead.sendall(b"anybody?")
        dead.settimeout(0.2)
        with pytest.raises(TimeoutError):
            dead.recv(10)
        with dial(proxy) as fresh:
            assert said(fresh, b"new ones work") == b"new ones work"
        other.close()


def test_delay_is_latency_and_not_a_lower_rate(proxy: Proxy) -> None:
    proxy.delay_s = 0.1
    started = time.monotonic()
    with dial(proxy) as peer:
        assert said(peer, b"x" * 12_000) == b"x" * 12_000
    assert time.monotonic() - started >= 0.2


def test_throttle_bounds_the_rate(proxy: Proxy) -> None:
    proxy.bytes_per_s = 40_000
    started = time.monotonic()
    with dial(proxy) as peer:
        assert said(peer, b"x" * 20_000) == b"x" * 20_000
    assert time.monotonic() - started >= 0.4  # the last of its chunks is not waited for


def test_connections_that_do_not_live_long_are_reset(proxy: Proxy) -> None:
    proxy.life_s = lambda: 0.05
    with dial(proxy) as peer:
        assert said(peer, b"hello") == b"hello"
        with pytest.raises(ConnectionError):
            peer.recv(10)
    assert proxy.resets == 1
