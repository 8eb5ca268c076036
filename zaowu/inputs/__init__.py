"""One file per modality: raw value -> features (numpy) -> vectors (an embedder)."""
