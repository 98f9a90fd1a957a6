"""Texts that may be logged and sent: URIs without their secrets. Pure."""

import re
from typing import Final

_SECRET: Final = re.compile(r"//\S*@")
"""Greedy: a password with an unescaped `/` or `#` is hidden too."""
_SECRET_VALUE: Final = re.compile(
    r"([?&;][^=&;]*(?:pass|pwd|token|key|secret|auth|user|login|sig)[^=&;]*=)[^&;#\s]*",
    re.IGNORECASE,
)


def redacted(text: str) -> str:
    """Return a URI, or a text with one in it, without user, password and secret parameters."""
    return _SECRET_VALUE.sub(r"\1***", _SECRET.sub("//***@", text))
