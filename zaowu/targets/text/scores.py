"""How good written texts are, by the scores of their field, each from figures of single rows.

All scores are shares in [0, 1]; sacreBLEU and the papers print the first two times 100.
- chrf: F2 of character n-grams, n = 1 to 6. Source: Popović 2015, "chrF: character n-gram F-score for automatic MT
  evaluation"; computed with sacreBLEU.
- bleu: n = 1 to 4, brevity penalty, smoothing "exp". Source: Papineni et al. 2002; Post 2018, "A Call for Clarity in
  Reporting BLEU Scores"; the tokens are sacreBLEU's "zh" where answers are mainly in Chinese characters, "char" in
  other scripts without spaces, else "13a": `Figures.tokenize` says which.
- rouge_1, rouge_2, rouge_l: F1 of units, pairs and the longest common subsequence. Source: Lin 2004, "ROUGE: A Package
  for Automatic Evaluation of Summaries"; the first two by rouge-score. Units are single characters without white space
  for scripts without spaces (`Figures.characters`), else words of letters and digits; both in lower case, no stemming.
- exact_match: the same text but for white space. character_f1: F1 of the two bags of characters.
- length_ratio: characters written for one of the reference. repetition: share of a text's runs of 4 units that
  already stood in it, the mean over texts.

A row may have several references: that of the highest figure counts, for bleu as the sacreBLEU library joins them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import zip_longest
from typing import Any

import numpy as np

from zaowu import metrics
from zaowu.errors import UserError
from zaowu.inputs.text.scripts import shares
from zaowu.inputs.text.tfidf import spaces_make_words
from zaowu.targets import Metric, Score

HEADLINE = "chrf"
METRICS: Mapping[str, Metric] = {
    "chrf": Metric(higher_is_better=True, is_share=True),
    "bleu": Metric(higher_is_better=True, is_share=True),
    "rouge_1": Metric(higher_is_better=True, is_share=True),
    "rouge_2": Metric(higher_is_better=True, is_share=True),
    "rouge_l": Metric(higher_is_better=True, is_share=True),
    "exact_match": Metric(higher_is_better=True, is_share=True),
    "character_f1": Metric(higher_is_better=True, is_share=True),
    "length_ratio": Metric(higher_is_better=True),  # best at 1: no method is chosen by it
    "repetition": Metric(higher_is_better=False, is_share=True),
}
MEANS = ("rouge_1", "rouge_2", "rouge_l", "exact_match", "character_f1", "repetition")  # of the rows' figures
RUN = 4  # units whose second standing in a text is a repetition
CHRF_ORDER, BLEU_ORDER = 6, 4
BETA = 2  # how much more recall weighs than precision in chrF
_WORDS = re.compile(r"[^\W_]+")

Truth = Sequence[str] | Sequence[Sequence[str]]  # one reference a row, or several


def require() -> None:
    """Whether the libraries of these scores are there. Raises UserError that names the extra."""
    missing = [name for name in ("sacrebleu", "rouge_score") if find_spec(name) is None]
    if missing:
        raise UserError(
            f"Written texts are scored by sacrebleu and rouge-score, but {' and '.join(missing)} cannot be imported. "
            "Run: pip install 'zaowu[text]'"
        )


def score_texts(
    predicted: Sequence[str],
    truth: Truth,
    sources: Sequence[str] | None = None,
    *,
    seed: int = 0,
    resamples: int = 1000,
) -> dict[str, Score]:
    """Each of `METRICS` with its 95 % bootstrap interval, unless `resamples` is 0.

    predicted: N texts. truth: N texts, or N lists of them. sources: N texts that were answered; rows with the same one
    are one row with all their references, so that a sentence with five translations does not count five times.
    """
    figures = Figures.of(*_joined(predicted, truth, sources))
    values = figures.values()
    bounds = figures.intervals(seed=seed, resamples=resamples) if resamples else {}
    return {name: Score(value, *bounds.get(name, (None, None))) for name, value in values.items()}


def differences(
    first: Sequence[str],
    second: Sequence[str],
    truth: Truth,
    sources: Sequence[str] | None = None,
    *,
    seed: int = 0,
    resamples: int = 1000,
) -> dict[str, Score]:
    """First minus second on the same rows in each of `METRICS`, both resampled together."""
    rows = _distinct(sources, first, second)
    truth = pooled(truth, sources)
    own = [row for row, _ in rows]
    one, other = (
        Figures.of([texts[row] for row in own], [truth[row] for row in own]) for texts in (first, second)
    )  # fmt: skip
    gaps = {name: value - other.values()[name] for name, value in one.values().items()}
    bounds: list[Any] = metrics.bootstrap_intervals(
        lambda draws: one.resampled(draws) - other.resampled(draws),
        np.ones(len(own), np.int64),
        seed=seed,
        resamples=resamples,
    )
    return {name: Score(gap, *bound) for (name, gap), bound in zip(gaps.items(), bounds, strict=True)}


def per_row(predicted: Sequence[str], truth: Truth, sources: Sequence[str] | None = None) -> np.ndarray:
    """(N,) chrF of each row, as sacreBLEU gives it for a sentence; only that is computed."""
    return chrf_of(_chrf_counts(predicted, pooled(truth, sources)))


def chrf(predicted: Sequence[str], truth: Truth, sources: Sequence[str] | None = None) -> float:
    """The headline alone, for choosing: the same value as `score_texts` gives."""
    return float(chrf_of(_chrf_counts(*_joined(predicted, truth, sources)).sum(axis=0)[None])[0])


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What N rows bring to each score, so that scores of any rows are sums: no text is read twice.

    chrf: (N, 18) for each n the n-grams of the text, of the reference, and of both. bleu: (N, 10) tokens of the text
    and the reference, n-grams of both for each n, and those of the text. means: each of `MEANS`, (N,). lengths: (N, 2)
    characters of the text and of the reference nearest to it in length.
    """

    tokenize: str
    characters: bool
    chrf: np.ndarray
    bleu: np.ndarray
    means: Mapping[str, np.ndarray]
    lengths: np.ndarray

    @classmethod
    def of(cls, predicted: Sequence[str], truth: Truth) -> Figures:
        """predicted: N texts, N > 0. truth: N texts, or N lists of at least one."""
        require()
        references = _lists(truth)
        assert len(predicted) == len(references) > 0
        every = [text for own in references for text in own]
        characters = not spaces_make_words(every)
        tokenize = tokenizer_of(every)
        rouge = _rouge(predicted, references, characters)
        exact = [any(text.split() == one.split() for one in own) for text, own in _rows(predicted, references)]
        shared = [max(_bag_f1(text, one) for one in own) for text, own in _rows(predicted, references)]
        again = [repeated(text, characters=characters) for text in predicted]
        columns = (*rouge.T, exact, shared, again)
        return cls(
            tokenize=tokenize,
            characters=characters,
            chrf=_chrf_counts(predicted, references),
            bleu=_bleu_counts(predicted, references, tokenize),
            means={name: np.array(column, np.float64) for name, column in zip(MEANS, columns, strict=True)},
            lengths=np.array([lengths_of(text, own) for text, own in _rows(predicted, references)], np.int64),
        )

    def __len__(self) -> int:
        return len(self.lengths)

    def take(self, rows: np.ndarray) -> Figures:
        """The rows at `rows` (integers or a boolean mask), in that order."""
        means = {name: column[rows] for name, column in self.means.items()}
        return replace(self, chrf=self.chrf[rows], bleu=self.bleu[rows], means=means, lengths=self.lengths[rows])

    def resampled(self, draws: np.ndarray) -> np.ndarray:
        """(R, N) how often each row was drawn -> (R, scores) in the order of `METRICS`."""
        sizes = [self.chrf.shape[1], self.bleu.shape[1], len(MEANS)]
        means = np.stack([self.means[name] for name in MEANS], axis=1)
        table = np.concatenate([self.chrf, self.bleu, means, self.lengths], axis=1).astype(np.float64)
        grams, tokens, sums, lengths = np.split(draws.astype(np.float64) @ table, np.cumsum(sizes), axis=1)
        sums = sums / draws.sum(axis=1)[:, None]
        ratio = lengths[:, 0] / np.maximum(lengths[:, 1], 1)
        found = {
            "chrf": chrf_of(grams),
            "bleu": bleu_of(tokens),
            "length_ratio": ratio,
            **dict(zip(MEANS, sums.T, strict=True)),
        }
        return np.stack([found[name] for name in METRICS], axis=1)

    def values(self) -> dict[str, float]:
        values = self.resampled(np.ones((1, len(self)), np.int64))[0]
        return dict(zip(METRICS, values.tolist(), strict=True))

    def intervals(self, *, seed: int = 0, resamples: int = 1000) -> dict[str, tuple[float, float]]:
        """Of each score, all from the same draws of rows; of exact match as of every share of right rows."""
        counts = np.ones(len(self), np.int64)
        bounds = metrics.bootstrap_intervals(self.resampled, counts, seed=seed, resamples=resamples)
        exact = metrics.accuracy_interval(self.means["exact_match"] > 0, seed=seed, resamples=resamples)
        return dict(zip(METRICS, bounds, strict=True)) | {"exact_match": exact}


def chrf_of(counts: np.ndarray) -> np.ndarray:
    """(R, 18) sums of `Figures.chrf` -> (R,). An n counts where both sides have n-grams of it."""
    text, reference, both = np.moveaxis(counts.reshape(len(counts), CHRF_ORDER, 3).astype(np.float64), 2, 0)
    used = (text > 0) & (reference > 0)
    num_used = np.maximum(used.sum(axis=1), 1)
    precision, recall = (
        np.where(used, both / np.maximum(side, 1), 0.0).sum(axis=1) / num_used for side in (text, reference)
    )
    below = BETA**2 * precision + recall
    return (1 + BETA**2) * precision * recall / np.where(below > 0, below, 1.0)


def bleu_of(counts: np.ndarray) -> np.ndarray:
    """(R, 10) sums of `Figures.bleu` -> (R,). An n without any match counts half of the one before it that has none."""
    counts = counts.astype(np.float64)
    length, reference = counts[:, 0], counts[:, 1]
    both, text = counts[:, 2 : 2 + BLEU_ORDER], counts[:, 2 + BLEU_ORDER :]
    halved = 2.0 ** -np.cumsum(both == 0, axis=1)
    precision = np.where(both > 0, both, halved) / np.maximum(text, 1)
    penalty = np.exp(np.minimum(0.0, 1 - reference / np.maximum(length, 1)))
    known = (text > 0).all(axis=1) & (both > 0).any(axis=1)
    return np.where(known, penalty * np.exp(np.log(precision).mean(axis=1)), 0.0)


def tokenizer_of(texts: Iterable[str]) -> str:
    """sacreBLEU's tokenizer for these references: "zh", "char" for other scripts without spaces, else "13a"."""
    texts = list(texts)
    if spaces_make_words(texts):
        return "13a"
    return "zh" if shares(texts).get("CJK", 0.0) > 0.5 else "char"


def units(text: str, *, characters: bool) -> list[str]:
    """What ROUGE and repetitions count: characters without white space, or words of letters and digits."""
    text = text.lower()
    return list("".join(text.split())) if characters else _WORDS.findall(text)


def repeated(text: str, *, characters: bool) -> float:
    """The share of the runs of 4 units of a text that stand in it before."""
    own = units(text, characters=characters)
    runs = [tuple(own[place : place + RUN]) for place in range(len(own) - RUN + 1)]
    return 1 - len(set(runs)) / len(runs) if runs else 0.0


def common_subsequence(one: Sequence[str], other: Sequence[str]) -> int:
    """Length of the longest common subsequence: a bit of one number for each unit of `one`.

    Source: Hyyrö 2004, "Bit-parallel LCS-length computation revisited".
    """
    places: dict[str, int] = {}
    for place, unit in enumerate(one):
        places[unit] = places.get(unit, 0) | 1 << place
    full = (1 << len(one)) - 1
    rest = full
    for unit in other:
        if hit := rest & places.get(unit, 0):
            rest = ((rest + hit) | (rest - hit)) & full
    return len(one) - rest.bit_count()


class _Tokenizer:
    """Units, as rouge-score asks for them."""

    def __init__(self, characters: bool) -> None:
        self.characters = characters

    def tokenize(self, text: str) -> list[str]:
        return units(text, characters=self.characters)


def _rouge(predicted: Sequence[str], references: list[list[str]], characters: bool) -> np.ndarray:
    """(N, 3) F1 of ROUGE-1, ROUGE-2 and ROUGE-L. The library's table for the last takes 7 ms a row of 300 units."""
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rouge1", "rouge2"], tokenizer=_Tokenizer(characters))
    found = np.zeros((len(predicted), 3))
    for row, (text, own) in enumerate(_rows(predicted, references)):
        scored = scorer.score_multi(own, text)
        found[row, :2] = scored["rouge1"].fmeasure, scored["rouge2"].fmeasure
        written = units(text, characters=characters)
        for one in own:
            given = units(one, characters=characters)
            both = 2 * common_subsequence(written, given) / max(1, len(written) + len(given))
            found[row, 2] = max(found[row, 2], both)
    return found


def _chrf_counts(predicted: Sequence[str], truth: Truth) -> np.ndarray:
    require()
    from sacrebleu.metrics import CHRF

    return _counts(CHRF(char_order=CHRF_ORDER, word_order=0, beta=BETA), predicted, _lists(truth))


def _bleu_counts(predicted: Sequence[str], references: list[list[str]], tokenize: str) -> np.ndarray:
    from sacrebleu.metrics import BLEU

    return _counts(BLEU(tokenize=tokenize, force=True), predicted, references)


def _counts(metric: Any, predicted: Sequence[str], references: list[list[str]]) -> np.ndarray:
    """(N, counts) of each row, which sacreBLEU adds up for the whole."""
    streams = [list(stream) for stream in zip_longest(*references)]
    counts = metric._extract_corpus_statistics(list(predicted), streams)
    return np.array(counts, np.int64)


def _bag_f1(text: str, reference: str) -> float:
    one, other = (Counter("".join(side.split())) for side in (text, reference))
    total = one.total() + other.total()
    return 2 * (one & other).total() / total if total else 1.0


def lengths_of(text: str, references: Sequence[str]) -> tuple[int, int]:
    """Characters of a text and of the reference nearest to it in length."""
    return len(text), min((len(one) for one in references), key=lambda size: (abs(size - len(text)), size))


def _lists(truth: Truth) -> list[list[str]]:
    return [[own] if isinstance(own, str) else list(own) for own in truth]


def _rows(predicted: Sequence[str], references: list[list[str]]) -> Iterable[tuple[str, list[str]]]:
    return zip(predicted, references, strict=True)


def pooled(truth: Truth, sources: Sequence[str] | None) -> list[list[str]]:
    """For each row the references of all rows with its source, each once."""
    references = _lists(truth)
    if sources is None:
        return references
    found: dict[str, dict[str, None]] = {}
    for source, own in zip(sources, references, strict=True):
        found.setdefault(source, {}).update(dict.fromkeys(own))
    return [list(found[source]) for source in sources]


def _distinct(sources: Sequence[str] | None, *answers: Sequence[str]) -> list[tuple[int, tuple[str, ...]]]:
    """The first row of each source and what was answered to it; every row where the sources are not known."""
    rows = list(zip(*answers, strict=True))
    if sources is None:
        return list(enumerate(rows))
    found: dict[tuple[str, ...], tuple[int, tuple[str, ...]]] = {}
    for row, (source, own) in enumerate(zip(sources, rows, strict=True)):
        found.setdefault((source, *own), (row, own))
    return list(found.values())


def _joined(predicted: Sequence[str], truth: Truth, sources: Sequence[str] | None) -> tuple[list[str], list[list[str]]]:
    """Texts and references with one row a source."""
    own = [row for row, _ in _distinct(sources, predicted)]
    references = pooled(truth, sources)
    return [predicted[row] for row in own], [references[row] for row in own]
