"""Which of several given answers is likeliest: nothing is written, the answers are scored.

    log p(answer | beginning) = sum_t log p(a_t | beginning, a_1 ... a_(t-1))

Answers are told to the model token by token, all of them at once behind one reading of the beginning; or, where many
texts go on from one beginning that was read before, text and answers together in one pass, the answers as branches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from zaowu.decode import Step


def score_labels(step: Step, state: Any, logits: Tensor, *, labels: Sequence[Sequence[int]]) -> np.ndarray:
    """(B, L) log probabilities of L answers, float64.

    state: of B * L rows, L for each beginning. logits: (B, V) behind the beginnings. labels: tokens of each answer,
    one at least; an end piece behind each makes "ab" and "abc" exclude each other.
    """
    assert all(labels)
    num, device = len(logits), logits.device
    rows = np.arange(num * len(labels))  # beginning * L + label
    scores = np.zeros(len(rows))
    first = torch.tensor([label[0] for label in labels], device=device)
    scores += logits.float().log_softmax(1)[:, first].double().cpu().numpy().ravel()
    for place in range(1, max(map(len, labels))):
        going = [index for index, row in enumerate(rows) if len(labels[int(row) % len(labels)]) > place]
        if len(going) < len(rows):
            state.select(torch.tensor(going, device=device))
            rows = rows[going]
        told = torch.tensor([labels[int(row) % len(labels)][place - 1] for row in rows], device=device)
        logits, state = step(state, told)
        wanted = torch.tensor([labels[int(row) % len(labels)][place] for row in rows], device=device)
        scores[rows] += logits.float().log_softmax(1).gather(1, wanted[:, None]).squeeze(1).double().cpu().numpy()
    return scores.reshape(num, len(labels))


class Read(Protocol):
    """A model that reads B rows behind what it read before: (M, V) logits behind the `wanted` places, row after row.

    All are (B, T); positions count from the first token of all; branches: 0 for the text, 1, 2, ... behind it.
    """

    def __call__(self, ids: Tensor, *, mask: Tensor, positions: Tensor, branches: Tensor, wanted: Tensor) -> Tensor: ...


def score_branches(
    read: Read, texts: Sequence[Sequence[int]], *, labels: Sequence[Sequence[int]], start: int, device: torch.device
) -> np.ndarray:
    """(B, L) log probabilities of L answers behind each of B texts, float64.

    texts: tokens of each, one at least. labels: as in `score_labels`. start: tokens that were read before.
    """
    assert all(labels) and all(texts)
    told = [label[:-1] for label in labels]  # what stands behind an answer is asked for, not told
    branch = np.repeat(np.arange(len(labels)), [len(label) for label in told])
    places = np.concatenate([np.arange(len(label)) for label in told])
    lengths = np.array([len(text) for text in texts])
    width = int(lengths.max()) + len(branch)
    ids, positions, branches = (np.zeros((len(texts), width), np.int64) for _ in range(3))
    tail = [token for label in told for token in label]
    for row, text in enumerate(texts):
        whole = slice(len(text), len(text) + len(tail))
        ids[row, : len(text)], ids[row, whole] = text, tail
        positions[row, : len(text)], positions[row, whole] = start + np.arange(len(text)), start + len(text) + places
        branches[row, whole] = 1 + branch
    column = np.arange(width)
    mask = column < lengths[:, None] + len(tail)
    found = {
        "mask": mask,
        "positions": np.where(mask, positions, start),
        "branches": branches,
        "wanted": mask & (column >= lengths[:, None] - 1),
    }
    logits = read(
        torch.from_numpy(ids).to(device), **{name: torch.from_numpy(own).to(device) for name, own in found.items()}
    ).float()
    logits = (logits - logits.logsumexp(1, keepdim=True)).view(len(texts), 1 + len(tail), -1)
    scores = logits[:, 0, [label[0] for label in labels]].double().cpu().numpy()
    following = torch.tensor([token for label in labels for token in label[1:]], dtype=torch.long, device=device)
    later = logits[:, 1:].gather(2, following.expand(len(texts), -1)[:, :, None]).squeeze(2).double().cpu().numpy()
    np.add.at(scores.T, branch, later.T)
    return scores


def calibrated(scores: np.ndarray, free: np.ndarray) -> np.ndarray:
    """(N, L) log probabilities of L answers -> (N, L) probabilities among them, less what the model says anyway.

    free: (F, L), the same scores behind inputs that say nothing. With p of N and F normalised over the answers,

        q = softmax(log p - log mean_F p_F)

    so that each answer is as likely as any other behind nothing. What a model prefers for its own sake, for the last
    example or for the commonest one is divided away.
    Source: contextual calibration, Zhao et al. 2021 ("Calibrate Before Use"), section 5: W = diag(p_cf)^-1, b = 0.
    """
    prior = _shares(free).mean(0)
    return _shares(_shares(scores, log=True) - np.log(np.maximum(prior, 1e-12)))


def _shares(scores: np.ndarray, *, log: bool = False) -> np.ndarray:
    scores = scores - scores.max(1, keepdims=True)
    scores = scores - np.log(np.exp(scores).sum(1, keepdims=True))
    return scores if log else np.exp(scores)
