"""One file per kind of answer: features, head, loss, decoding."""
