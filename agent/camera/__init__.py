"""Image sources: one file per kind behind one small protocol."""
