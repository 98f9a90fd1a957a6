"""URIs of local sources: paths and checked parameters. Pure.

Local sources (`v4l2`, `file`, `dir`) name a path: `file:///srv/clip.mp4` is absolute,
`file://./clip.mp4` and `file://clips/a.mp4` are relative to the working directory. A `?` in a file
name is written `%3F`. Parameters follow after `?`; an unknown one is refused.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from agent.contract.errors import BadContentError

_TRUTH: Final = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


@dataclass(frozen=True, slots=True)
class LocalUri:
    """A URI of something on this machine, with parameters that are checked as they are asked."""

    uri: str
    place: str
    """What stands between `scheme://` and `?`, percent-decoded."""
    query: dict[str, str]

    @property
    def path(self) -> Path:
        """The place as a path."""
        return Path(self.place)

    def whole(self, name: str, default: int, low: int, high: int) -> int:
        """Return a whole number parameter.

        Raises:
            BadContentError: not a whole number in low..high.
        """
        value = self.number(name, default, low, high)
        if not value.is_integer():
            raise BadContentError(f"{self.uri}: {name}={self.query[name]}: use a whole number")
        return int(value)

    def number(self, name: str, default: float, low: float, high: float) -> float:
        """Return a number parameter.

        Raises:
            BadContentError: not a number in low..high.
        """
        text = self.query.get(name)
        if text is None:
            return float(default)
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            raise BadContentError(f"{self.uri}: {name}={text}: use a number in {low}..{high}")
        return value

    def flag(self, name: str) -> bool:
        """Return a yes/no parameter; absent means no.

        Raises:
            BadContentError: neither 1 nor 0.
        """
        text = self.query.get(name, "0")
        if text.lower() not in _TRUTH:
            raise BadContentError(f"{self.uri}: {name}={text}: use 1 or 0")
        return _TRUTH[text.lower()]


def parse_local(uri: str, *allowed: str) -> LocalUri:
    """Split a local URI.

    Args:
        uri: `scheme://place?name=value&...`.
        allowed: The parameters this kind of source knows.

    Raises:
        BadContentError: no place, a parameter that is not allowed, or one given twice.
    """
    parts = urlsplit(uri, allow_fragments=False)
    host = "" if parts.netloc == "localhost" else parts.netloc
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    names = [name for name, _ in pairs]
    for name in names:
        if name not in allowed:
            known = ", ".join(allowed) or "none"
            raise BadContentError(f"{uri}: unknown parameter {name!r}; known: {known}")
        if names.count(name) > 1:
            raise BadContentError(f"{uri}: parameter {name!r} is given twice")
    return LocalUri(uri, unquote(host + parts.path), dict(pairs))
