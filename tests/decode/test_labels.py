"""Labels by branches are labels one by one; and what is divided away when they are calibrated."""

from __future__ import annotations

import numpy as np
import torch

from zaowu.decode.labels import calibrated, score_branches

V = 12
LABELS = [[3, 4, 9], [5, 9], [3, 6, 7, 9]]


def logits_of(sequence: list[int]) -> torch.Tensor:
    """(V,) that depend on all tokens so far and their places."""
    code = sum((place + 1) * (token + 1) ** 2 for place, token in enumerate(sequence))
    return torch.from_numpy(np.random.default_rng(code).normal(size=V))


def test_branches_score_every_label_behind_its_own_text():
    start, texts = [1, 2], [[4, 5, 6], [8]]

    def read(ids, *, mask, positions, branches, wanted):
        found = []
        for row in range(len(ids)):
            for place in torch.nonzero(wanted[row]).flatten().tolist():
                seen = [
                    other
                    for other in range(place + 1)
                    if mask[row, other] and branches[row, other] in (0, branches[row, place])
                ]
                assert positions[row, seen].tolist() == list(range(2, 2 + len(seen)))
                found.append(logits_of(start + ids[row, seen].tolist()))
        return torch.stack(found)

    found = score_branches(read, texts, labels=LABELS, start=2, device=torch.device("cpu"))
    for row, text in enumerate(texts):
        for number, label in enumerate(LABELS):
            expected = sum(
                float(logits_of(start + text + label[:place]).log_softmax(0)[token])
                for place, token in enumerate(label)
            )
            np.testing.assert_allclose(found[row, number], expected, rtol=1e-5)


def test_what_a_model_says_of_nothing_is_divided_away():
    """By hand: shares (0.9, 0.1) behind nothing. An input with (0.8, 0.2) speaks for the second answer."""
    scores, free = np.log([[0.8, 0.2], [0.9, 0.1]]), np.log([[0.85, 0.15], [0.95, 0.05]]) - 7.0
    first = (0.8 / 0.9) / (0.8 / 0.9 + 0.2 / 0.1)
    np.testing.assert_allclose(calibrated(scores - 3.0, free), [[first, 1 - first], [0.5, 0.5]], rtol=1e-9)
