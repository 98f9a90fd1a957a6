"""Schema versions, applied in order when the worker starts."""
