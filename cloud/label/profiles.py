"""Which profile a look may be asked under: a message names one, never a file. Adapter."""

from agent.contract.errors import BadContentError
from agent.contract.profile import Profile
from agent.vision.shipped import load_profile, shipped_profiles


def profile_of(own: Profile, name: str) -> Profile:
    """Return the profile that a look names.

    Args:
        own: The worker's profile, from wherever its owner put it.
        name: What the device says: data, so it never becomes a path.

    Raises:
        BadContentError: neither the worker's own nor a shipped one.
        UnavailableError: the shipped file cannot be read.
    """
    if name == own.name:
        return own
    if name not in shipped_profiles():
        known = ", ".join(sorted({own.name, *shipped_profiles()}))
        raise BadContentError(f"profile {name[:80]!r}: not known to this worker; it knows {known}")
    return load_profile(name)
