"""Native libraries that talk on standard error, silenced. Adapter."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Send standard error nowhere while a model is loaded.

    LiteRT tells each time, in native code, that it uses XNNPACK. What Python has to say is
    raised, not printed, so nothing is lost.
    """
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
