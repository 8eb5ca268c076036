"""Predictions -> metrics with intervals, and the cheap baselines beside them."""
