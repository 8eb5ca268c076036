"""Which of several given answers is likeliest: nothing is written, the answers are scored.

    log p(answer | beginning) = sum_t log p(a_t | beginning, a_1 ... a_(t-1))

Answers are told to the model token by token, all of them at once behind one reading of the beginning.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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
