"""体育 or 科技? Chinese news headlines, the case that every tutorial uses.

data: `data/news_zh.csv`, written for this project. To reach: 95 % of the headlines, in the set and real ones.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zaowu.tasks import Examples

NEEDS = ""
TARGET = None
SETTINGS: dict[str, Any] = {"epochs": 3}  # two fewer than the rule would take: a demo should not make anyone wait
GOAL = ("accuracy", 0.95)
DATA = Path(__file__).parent / "data" / "news_zh.csv"
EXAMPLES = (
    "姚明宣布退役 职业生涯画上句号",
    "国产手机厂商发布折叠屏新机 搭载自研芯片",
    "亚冠小组赛最后一轮 主队补时绝杀晋级",
    "探测器传回火星地表高清照片 科学家解读",
    "手机品牌冠名足球俱乐部 双方签约三年",
)


def load(data: Path | None = None) -> Examples:
    """The embedded headlines, and five that are not among them."""
    return Examples(DATA, list(EXAMPLES))
