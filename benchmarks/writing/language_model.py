"""A causal language model on Chinese documents, beside 5-grams with Kneser-Ney smoothing on the same pieces.

A document's first piece is told by neither, its end by both; what is printed is the perplexity of a character.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from writing import Scores, Work, parted

MINUTES = 60.0
SHOWN = ("perplexity", "piece_perplexity")
SIDES = ("ours",)
GOAL = "a perplexity below that of the 5-gram model"
FILES = ("corpora.jsonl",)
MAX_TEST = 500  # documents
PROMPTS = 3
PROMPT_CHARACTERS = 20


def cell(side: str, work: Work) -> dict[str, Any]:
    import zaowu

    with work.file(*FILES).open(encoding="utf-8") as file:
        rows = [{"text": json.loads(line)["text"]} for line in file]
    train, test = parted([row for row in rows if row["text"].strip()], "text", work)
    test = test[:MAX_TEST]
    work.folder.mkdir(parents=True, exist_ok=True)
    path, base = work.folder / "train.jsonl", work.folder / "base"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in train), encoding="utf-8")
    allowed = {name: value for name, value in work.settings.items() if name == "size"}
    how: dict[str, Any] = {"time_limit": 60 * work.minutes, "threads": work.threads, "seed": work.seed, "lang": "en"}
    zaowu.pretrain(path, objective="causal", out=base, overwrite=True, **how, **allowed)

    ours, grams, counts = judged(base, [row["text"] for row in train], [row["text"] for row in test])
    prompts = [row["text"][:PROMPT_CHARACTERS] for row in test[:PROMPTS]]
    samples = zaowu.generate(base, prompts, max_tokens=60, temperature=0.8, top_p=0.95, threads=work.threads)
    return {
        "scores": perplexities(ours, counts),
        "beside": {"5-gram Kneser-Ney": perplexities(grams, counts)},
        "train": len(train),
        "test": len(test),
        "samples": samples.lines(),
    }


def judged(base: Path, train: list[str], test: list[str]) -> tuple[float, float, tuple[int, int]]:
    """Sums of natural logarithms of ours and the 5-gram model's probabilities, and characters and pieces of `test`.

    Ours is opened by the transformers library: the loss is not our own word.
    """
    import torch
    from tokenizers import Tokenizer
    from transformers import AutoModelForCausalLM

    from zaowu.targets.text.ngram import KneserNey

    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    known, new = (
        [one.ids for one in tokenizer.encode_batch(texts, add_special_tokens=False)] for texts in (train, test)
    )
    vocabulary = tokenizer.get_vocab_size()
    model = AutoModelForCausalLM.from_pretrained(base).eval()
    end, length = model.config.eos_token_id, json.loads((base / "metrics.json").read_text("utf-8"))["shape"]["length"]
    ours = 0.0
    with torch.inference_mode():
        for ids in new:
            own = torch.tensor([*ids, end])
            for first in range(1, len(own), length // 2):  # what is told sees at least half a row before it
                begin = max(0, first - length // 2)
                last = min(len(own), first + length // 2)
                logits = model(own[None, begin : last - 1]).logits[0].float().log_softmax(-1)
                told = logits[first - begin - 1 :].gather(1, own[first:last, None])
                ours += float(told.sum())
    grams = KneserNey.fit([np.array(ids) for ids in known if ids], vocabulary)
    theirs = sum(float(grams.log_probabilities(np.array(ids))[1:].sum()) for ids in new if ids)
    return ours, theirs, (sum(map(len, test)), sum(len(ids) for ids in new))


def perplexities(total: float, counts: tuple[int, int]) -> Scores:
    characters, pieces = counts
    return {"perplexity": [math.exp(-total / characters)], "piece_perplexity": [math.exp(-total / pieces)]}


def reached(found: dict[str, Scores]) -> bool:
    return found["ours"]["perplexity"][0] < found["5-gram Kneser-Ney"]["perplexity"][0]
