"""Labelled text from packages that any machine can fetch: one file per source, found by `bench_data.py`."""
