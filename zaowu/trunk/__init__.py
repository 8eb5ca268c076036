"""Vectors -> Transformer -> states."""
