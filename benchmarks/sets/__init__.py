"""Sets from packages that any machine can fetch, one file per source: text for `bench_data.py`, molecules, series."""
