"""Raw text for pre-training: files and folders -> documents of paragraphs."""

from __future__ import annotations

from zaowu.records.corpus.corpus import Corpus, Document, documents
from zaowu.records.corpus.counts import Counts, Skipped
from zaowu.records.corpus.files import refuse_weight
from zaowu.records.corpus.head import Head
from zaowu.records.corpus.sample import sample

__all__ = ["Corpus", "Counts", "Document", "Head", "Skipped", "documents", "refuse_weight", "sample"]
