"""The device: capture, recognise, decide, keep, send."""

__version__ = "0.1.0"
