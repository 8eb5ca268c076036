"""What people call their columns, in English and Chinese: the only place that knows such words."""

from __future__ import annotations

import re

_LABELS = """
label labels class classes category categories cat topic topics target targets tag tags type types sentiment sentiments
intent intents intention genre polarity emotion department section channel gold y
标签 类别 分类 类目 类型 种类 主题 话题 情感 情绪 意图 栏目 频道 版块 板块 倾向 科室 部门 体裁 领域
"""
_IDS = """
id ids idx index no num uid uuid guid key url uri link href file filename path hash md5 sha
编号 序号 行号 号码 链接 网址 主键 文件 文件名 路径
"""
_TAGS = """
tags tag labels keywords keyword topics categories genres skills codes
标签 关键词 关键字 主题 话题 类别 题材 技能
"""
_AMOUNTS = """
price prices amount score scores rating ratings value sales revenue cost stars salary
价格 金额 得分 评分 分数 销量 销售额 收入 成本 工资 薪资 房价
"""
_OTHERS = """
text texts title titles headline headlines content contents body sentence sentences document doc review reviews comment
comments message question answer query summary abstract description keywords name source author user date time datetime
timestamp year month day created score rating stars price amount count age gender sex city
文本 正文 标题 题目 内容 新闻 句子 评论 评价 摘要 描述 问题 答案 关键词 关键字 来源 作者 用户 日期 时间 年份 评分
得分 分数 价格 姓名 性别 年龄 城市 地区 名称 备注
"""
LABELS = frozenset(_LABELS.split())
IDS = frozenset(_IDS.split())
TAGS = frozenset(_TAGS.split())  # that may hold several at once
AMOUNTS = frozenset(_AMOUNTS.split())
CLASSES = (LABELS | TAGS) - {"target", "targets", "gold", "y"}  # whose values are no texts
ALL = LABELS | IDS | TAGS | AMOUNTS | frozenset(_OTHERS.split())
_IDENTIFIER = re.compile(r"[^\W\d]\w*([ _.\-]\w+){0,3}", re.ASCII)


def is_identifier(name: str) -> bool:
    """`news_type`, `Review Text`: up to four joined words of ASCII letters and digits."""
    return _IDENTIFIER.fullmatch(name) is not None


def is_one_of(name: str, words: frozenset[str]) -> bool:
    """Whether `name`, without regard to case, is one of `words`."""
    return name.strip().lower() in words


def has_one_of(name: str, words: frozenset[str]) -> bool:
    """Whether `name` joins one of `words` to others: `news_type`, `labelId`, `标签名`, `新闻类别`."""
    name = name.strip()
    spaced = re.sub(r"([a-z])([A-Z])", r"\1 \2", name)
    if is_identifier(spaced):
        return any(part in words for part in re.split(r"[\W_\d]+", spaced.lower()))
    return len(name) <= 8 and any(name.startswith(word) or name.endswith(word) for word in words if not word.isascii())
