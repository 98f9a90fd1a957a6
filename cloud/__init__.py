"""The worker: ingest, label, gather, advise, train, judge, release."""
