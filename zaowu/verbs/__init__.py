"""One file per verb; the only place that calls rooms in order."""
