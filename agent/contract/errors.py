"""Two error roots, told apart by who is at fault. Pure."""


class SecondlookError(Exception):
    """Anything this project raises on purpose."""


class BadContentError(SecondlookError):
    """What we were given is wrong; trying again with the same bytes cannot help.

    The message names the thing, the place and the remedy.
    """


class UnavailableError(SecondlookError):
    """The way to the thing failed; trying again later may help."""
