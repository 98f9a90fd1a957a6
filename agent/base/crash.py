"""Named places to die at, for the fault tests. Adapter.

A random kill seldom lands between two lines that matter. `SECONDLOOK_CRASH_AT=name` ends the
process there as `kill -9` would: no handler, no flush, no farewell. `name:3`: the third time.
"""

import os
from typing import Final

EXIT_CODE: Final = 137
"""As of a process that `kill -9` ended."""
_NAME, _, _TIMES = os.environ.get("SECONDLOOK_CRASH_AT", "").partition(":")
_left = int(_TIMES or 1)


def crash_point(name: str) -> None:
    """End the process here if the environment asks for this place."""
    global _left  # noqa: PLW0603 - one process dies once
    if name == _NAME:
        _left -= 1
        if _left <= 0:
            os._exit(EXIT_CODE)
