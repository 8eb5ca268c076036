"""The gallery: one file per application, with its data, its settings and the result it must reach."""
