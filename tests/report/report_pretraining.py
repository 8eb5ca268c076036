"""A pre-training run as a real one would fill its page: masked pieces in Chinese, or text that is gone on with."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from zaowu.report.pretraining import Filled, Pretraining, Source
from zaowu.train.stop import Point

STEPS = 10_000
HIDDEN = [
    ("国务院总理在会上强调，要推[MASK]改革", "进", ("进", "动", "行", "出", "广"), (0.931, 0.044, 0.006, 0.002, 0.001)),
    ("他在主场打进两[MASK]，帮助球队取胜", "球", ("球", "次", "分", "个", "人"), (0.884, 0.051, 0.02, 0.008, 0.003)),
    ("本市房价连续三个月下[MASK]", "跌", ("降", "跌", "滑", "调", "行"), (0.47, 0.41, 0.05, 0.03, 0.01)),
    ("A股三大指数集体收[MASK]，成交额突破万亿", "涨", ("盘", "涨", "跌", "低", "高"), (0.38, 0.29, 0.21, 0.04, 0.02)),
    ("新款手机搭载自研[MASK]片", "芯", ("芯", "图", "大", "卡", "相"), (0.994, 0.001, 0.001, 0.0, 0.0)),
    ("高考志愿填报将于六[MASK]下旬开始", "月", ("月", "日", "年", "个", "点"), (0.999, 0.0, 0.0, 0.0, 0.0)),
    ("这部电影的导演是一位年轻[MASK]", "人", ("的", "人", "女", "师", "者"), (0.31, 0.28, 0.11, 0.05, 0.04)),
    ("Give 20 [MASK] of aspirin", "mg", ("mg", "days", "##s", "years", "ml"), (0.62, 0.08, 0.05, 0.03, 0.02)),
    ("球迷在体育馆外排起[MASK]队", "长", ("大", "小", "军", "了", "部"), (0.22, 0.09, 0.07, 0.05, 0.04)),
    ("专家提醒：雨天路滑，注意行车安[MASK]", "全", ("全", "静", "排", "心", "装"), (0.997, 0.001, 0.0, 0.0, 0.0)),
]  # fmt: skip


def history(*, start: float = 9.3, end: float = 3.1, pairs: bool = True, num: int = 20) -> tuple[Point, ...]:
    """A loss that falls from `start` towards `end` and rises a little in the last quarter."""
    found = []
    for i in range(1, num + 1):
        share = i / num
        loss = end + (start - end) * math.exp(-5 * share) + max(0.0, share - 0.75) * 0.3
        valid = {
            "loss": loss + 0.4 * pairs,
            "perplexity": math.exp(loss),
            "accuracy": 0.45 * (1 - math.exp(-4 * share)),
        }
        if pairs:
            valid["next_sentence_accuracy"] = 0.5 + 0.3 * (1 - math.exp(-3 * share))
        rate = 5e-4 * min(10 * share, (1 - share) / 0.9)
        step = STEPS * i // num
        found.append(
            Point(i, step, loss + 0.35 * pairs - 0.1 * share, rate, 360.0 * i, valid, rank=(-loss,), noise=0.0)
        )
    return tuple(found)


def masked(**changes: Any) -> Pretraining:
    """MLM and NSP from scratch, everything filled in."""
    made = Pretraining(
        name="bases/mine",
        objectives=("masked", "next_sentence"),
        shape={"layers": 4, "width": 256, "heads": 4, "parameters": 5_320_704, "pieces": 8_000, "length": 128},
        sources=(
            Source("corpus/人民日报", 18_204, 41_318_004, 1.0),
            Source("corpus/headlines.txt", 80_000, 4_650_233, 3.0),
            Source("corpus/notes", 312, 88_117, 0.5),
        ),
        corpus={
            "documents": 98_516,
            "paragraphs": 412_876,
            "duplicates": 20_913,
            "near_duplicates": 3_377,
            "unreadable": 12,
            "held_out": 987,
            "train_tokens": 14_872_115,
            "valid_tokens": 151_906,
        },
        unreadable=(
            "corpus/notes/扫描.pdf.txt: expected text, got binary data.",
            "corpus/notes/broken.gz: the archive ends too early.",
        ),
        history=history(),
        before={"loss": 9.7, "perplexity": 8_012.4, "accuracy": 0.0002, "next_sentence_accuracy": 0.497},
        reason="all 10,000 steps done",
        filled=tuple(
            Filled(text, truth, tuple(zip(pieces, chances, strict=True))) for text, truth, pieces, chances in HIDDEN
        ),
        cost={
            "seconds": 7_204.0,
            "tokens": 163_840_000.0,
            "tokens_per_s": 22_743.0,
            "flops": 4.91e15,
            "peak_mb": 1_874.0,
            "watt_hours": 130.1,
            "watts": 65.0,
        },
        command="zaowu pretrain corpus/ --objective mlm+nsp --size mini --vocab-size 8000 --seed 7 --out bases/mine",
        opens_with=("AutoModelForPreTraining", "AutoModelForMaskedLM", "AutoModel"),
        notes=("Read as GB18030: 3 files.",),
    )
    return dataclasses.replace(made, **changes)


def causal(**changes: Any) -> Pretraining:
    """Gone on from a base, nothing gained, and no class that opens it."""
    going = [
        (
            "The defendant shall pay the",
            " plaintiff's costs within 28 days of this order.",
            " sum of the sum of the sum",
        ),
        ("本院认为，原告的", "诉讼请求缺乏事实和法律依据，不予支持。", "诉讼请求，本院予以支持。被告应当在十日内"),
    ]
    made = masked(
        name="bases/law",
        objectives=("causal",),
        base="bases/gpt",
        history=history(start=3.0, end=3.2, pairs=False, num=6),
        before={"loss": 3.0, "perplexity": 20.1, "accuracy": 0.41},
        reason="no gain on validation in 5 evaluations",
        filled=tuple(Filled(prompt, truth, ((said, None),)) for prompt, truth, said in going),
        opens_with=(),
        no_config="ReZero residuals have no place in their config",
    )
    return dataclasses.replace(made, **changes)
