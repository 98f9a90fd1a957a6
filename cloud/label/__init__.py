"""Second looks: from a stored look to a verdict."""
