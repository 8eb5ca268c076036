"""体育 or 科技? Chinese news headlines, the case that every tutorial uses.

data: `data/news_zh.csv`, written for this project. To reach: 95 % on real published headlines.
"""

from __future__ import annotations

from pathlib import Path

from zaowu.progress import note, speaking
from zaowu.run import Run
from zaowu.verbs.fit import fit
from zaowu.verbs.predict import Predictions

DATA = Path(__file__).parent / "data" / "news_zh.csv"
EPOCHS = 3  # two fewer than the rule would take: a demo should not make anyone wait
EXAMPLES = (
    "姚明宣布退役 职业生涯画上句号",
    "国产手机厂商发布折叠屏新机 搭载自研芯片",
    "亚冠小组赛最后一轮 主队补时绝杀晋级",
    "探测器传回火星地表高清照片 科学家解读",
    "手机品牌冠名足球俱乐部 双方签约三年",
)


def demo(
    *,
    out: str | Path | None = None,
    overwrite: bool = False,
    quiet: bool = False,
    threads: int | None = None,
    lang: str | None = None,
) -> tuple[Run, Predictions]:
    """Fits on the embedded set and predicts five headlines that are not in it."""
    with speaking(quiet=quiet):
        out = out or "runs/demo"
        run = fit(DATA, out=out, epochs=EPOCHS, overwrite=overwrite, quiet=quiet, threads=threads, lang=lang)
        note("Five headlines that are not in the set:")
        return run, Predictions(run.predict(list(EXAMPLES)), top=1, rows=len(EXAMPLES))
