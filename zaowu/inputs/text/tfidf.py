"""The cheap method's features: how often the characters and words of a text occur, weighed by their rarity.

Where spaces make words: words and pairs of words, and runs of 3 and 4 characters inside words. Elsewhere
(Chinese, Japanese, Thai, ...): characters and pairs of characters. Chosen by measuring: three characters in a
row took 0.6 points from Chinese headlines, runs inside words gave 0.4 to English help pages.

Each view is L2-normalised by itself; weights are (1 + ln tf) x (1 + ln((1 + N) / (1 + df))).
Source: Salton and Buckley 1988, with scikit-learn's smoothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from zaowu.errors import UserError, shorten
from zaowu.inputs.text.scripts import script

MAX_CHARACTERS = 20_000  # of one text; a whole book in one cell must not outweigh the rest in time
UNSPACED = {"CJK", "HIRAGANA", "KATAKANA", "BOPOMOFO", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN", "YI"}
VIEWS: dict[str, dict[str, Any]] = {
    "characters": {"analyzer": "char", "ngram_range": (1, 2)},
    "words": {"analyzer": "word", "ngram_range": (1, 2), "token_pattern": r"\b\w+\b"},
    "word_parts": {"analyzer": "char_wb", "ngram_range": (3, 4), "min_df": 2},
}


def spaces_make_words(texts: Sequence[str]) -> bool:
    """Whether most letters of the texts belong to scripts that put spaces between words."""
    letters: Counter[str] = Counter()
    for text in texts[:: max(1, len(texts) // 2000)]:
        letters.update(text[:1000])
    spaced = sum(
        count if script(letter) not in UNSPACED else -count for letter, count in letters.items() if letter.isalpha()
    )
    return spaced > 0


class TfidfFeatures:
    """One text column as a sparse matrix. vocabularies: view -> its grams; idf: view -> (their number,) float32.

    What was learned is plain data and arrays; a saved one is rebuilt exactly.
    """

    def __init__(self, vocabularies: Mapping[str, list[str]], idf: Mapping[str, np.ndarray]) -> None:
        self.vocabularies = {name: vocabularies[name] for name in VIEWS if name in vocabularies}
        self.idf = {name: idf[name] for name in self.vocabularies}

    @cached_property
    def _vectorizers(self) -> dict[str, Any]:
        """Made when first used: opening a run must not pay for scikit-learn."""
        return {
            name: _vectorizer(name, vocabulary={gram: place for place, gram in enumerate(grams)})
            for name, grams in self.vocabularies.items()
        }

    @classmethod
    def fit(cls, texts: Sequence[str], *, max_features: int = 300_000) -> tuple[TfidfFeatures, Any]:
        """Learns from training texts only. Returns the features, and the matrix of these texts.

        max_features: of the whole column; the grams that occur in the most texts are kept.
        """
        texts = [text[:MAX_CHARACTERS] for text in texts]
        names = ("words", "word_parts") if spaces_make_words(texts) else ("characters",)
        vocabularies, idf, counts = {}, {}, {}
        for name in names:
            vectorizer = _vectorizer(name)
            try:
                found = vectorizer.fit_transform(texts)
            except ValueError:  # what scikit-learn raises when a view finds nothing in any text
                continue
            grams = vectorizer.get_feature_names_out()
            frequency = np.bincount(found.indices, minlength=len(grams))
            kept = np.sort(np.argsort(-frequency, kind="stable")[: max_features // len(names)])
            vocabularies[name] = grams[kept].tolist()
            idf[name] = (1 + np.log((1 + len(texts)) / (1 + frequency[kept]))).astype(np.float32)
            counts[name] = found[:, kept]
        features = cls(vocabularies, idf)
        return features, features._weighted(counts, len(texts))

    @property
    def num_features(self) -> int:
        return sum(map(len, self.vocabularies.values()))

    def transform(self, texts: Sequence[str]) -> Any:
        """(N, num_features) float32 scipy CSR matrix."""
        texts = [text[:MAX_CHARACTERS] for text in texts]
        counts = {name: vectorizer.transform(texts) for name, vectorizer in self._vectorizers.items()}
        return self._weighted(counts, len(texts))

    def _weighted(self, counts: Mapping[str, Any], num_texts: int) -> Any:
        from scipy import sparse
        from sklearn.preprocessing import normalize

        blocks = [sparse.csr_matrix((num_texts, 0), dtype=np.float32)]
        for name in self.vocabularies:
            weighted = counts[name].tocsr().astype(np.float32)
            weighted.data = (1 + np.log(weighted.data)) * self.idf[name][weighted.indices]
            blocks.append(normalize(weighted, copy=False))
        return sparse.hstack(blocks, format="csr", dtype=np.float32)

    def state(self) -> tuple[dict[str, list[str]], dict[str, np.ndarray]]:
        """The vocabularies as plain data, and the idf arrays."""
        return self.vocabularies, self.idf

    @classmethod
    def from_state(cls, vocabularies: Any, idf: Mapping[str, np.ndarray], *, where: str) -> TfidfFeatures:
        """The strict inverse of `state`. Raises UserError naming `where`."""
        if not isinstance(vocabularies, dict) or not vocabularies.keys() <= VIEWS.keys():
            raise UserError(f"{where}: expected vocabularies of {', '.join(VIEWS)}, got {shorten(vocabularies)}.")
        for name, grams in vocabularies.items():
            if not isinstance(grams, list) or not all(type(gram) is str for gram in grams):
                raise UserError(f"{where}, '{name}': expected a list of strings.")
            if not grams or len(set(grams)) < len(grams):
                raise UserError(f"{where}, '{name}': expected at least one gram, and each once.")
            array = idf.get(name)
            if array is None or array.shape != (len(grams),) or array.dtype != np.float32:
                raise UserError(f"{where}, '{name}': expected {len(grams)} float32 weights, one a gram.")
        return cls(vocabularies, idf)


class BaselineFeatures:
    """Several text columns side by side. parts: the features of each."""

    def __init__(self, parts: Sequence[TfidfFeatures]) -> None:
        self.parts = tuple(parts)

    @classmethod
    def fit(cls, *texts: Sequence[str], max_features: int = 300_000) -> tuple[BaselineFeatures, Any]:
        """Learns from training texts only, one sequence a column. Returns the features, and the matrix of these."""
        found = [TfidfFeatures.fit(column, max_features=max_features // len(texts)) for column in texts]
        return cls([features for features, _ in found]), _beside([matrix for _, matrix in found])

    @property
    def num_features(self) -> int:
        return sum(part.num_features for part in self.parts)

    def transform(self, *texts: Sequence[str]) -> Any:
        """(N, num_features) float32 scipy CSR matrix."""
        return _beside([part.transform(column) for part, column in zip(self.parts, texts, strict=True)])

    def state(self) -> tuple[list[dict[str, list[str]]], dict[str, np.ndarray]]:
        """The vocabularies of each column as plain data, and the idf arrays by number of the column and view."""
        idf = {f"{number}.{view}": array for number, part in enumerate(self.parts) for view, array in part.idf.items()}
        return [part.vocabularies for part in self.parts], idf

    @classmethod
    def from_state(cls, vocabularies: Any, idf: Mapping[str, np.ndarray], *, where: str) -> BaselineFeatures:
        """The strict inverse of `state`. Raises UserError naming `where`."""
        if not isinstance(vocabularies, list) or not vocabularies:
            raise UserError(f"{where}: expected the vocabularies of each column, got {shorten(vocabularies)}.")
        parts = []
        for number, own in enumerate(vocabularies):
            arrays = {view: idf[f"{number}.{view}"] for view in VIEWS if f"{number}.{view}" in idf}
            parts.append(TfidfFeatures.from_state(own, arrays, where=where))
        return cls(parts)


def _beside(blocks: Sequence[Any]) -> Any:
    from scipy import sparse

    return sparse.hstack(blocks, format="csr")


def _vectorizer(name: str, *, vocabulary: dict[str, int] | None = None) -> Any:
    from sklearn.feature_extraction.text import CountVectorizer

    settings = dict(VIEWS[name])
    if vocabulary is not None:
        settings.pop("min_df", None)  # a given vocabulary is not judged again
    return CountVectorizer(**settings, vocabulary=vocabulary, dtype=np.int32)
