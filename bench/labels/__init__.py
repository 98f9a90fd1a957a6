"""Parts of `bench.label_efficiency`."""
