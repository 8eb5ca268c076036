"""A bounded part of a corpus, spread over all of it: what the pieces of a tokenizer are learned from."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from zaowu.errors import UserError
from zaowu.progress import note
from zaowu.records.corpus.corpus import Corpus
from zaowu.records.identity import mixed

SALT = np.uint64(0x5851F42D4C957F2D)  # so that who is drawn here says nothing of who is held out
PACKED_RATIO = 4  # what packed text takes when it is unpacked, about


def sample(corpus: Corpus, megabytes: float) -> Iterator[str]:
    """Paragraphs of documents that are not held out, about `megabytes` (10^6 bytes of UTF-8) and never more.

    Each document is in or out by its content alone, at the share that the corpus' size asks for. Says at the end how
    much it was. Raises UserError where that share is so small that no document is in.
    """
    most, taken, num = megabytes * 1e6, 0, 0
    share = min(1.0, 1.1 * most / max(1, corpus.num_text_bytes(PACKED_RATIO)))
    bound = int(share * (2**64 - 1))
    for document in corpus:
        if document.is_held_out or int(mixed(np.array([document.id], np.uint64) ^ SALT)[0]) > bound:
            continue
        size = sum(len(paragraph.encode("utf-8", "surrogatepass")) for paragraph in document.paragraphs)
        if taken and taken + size > most:
            break
        taken += size
        num += 1
        yield from document.paragraphs
    if not num:
        raise UserError(
            f"--set sample_mb: {megabytes:g} MB are less than one document of this corpus of {corpus.bytes / 1e6:,.1f} "
            f"MB. Give more, {max(1.0, 100 * megabytes):g} for instance."
        )
    note(f"Pieces are learned from {num:,} documents, {taken / 1e6:,.1f} of about {corpus.bytes / 1e6:,.1f} MB.")
