"""The embedded headlines are what the demo's accuracy rests on, so their quality is a test."""

import csv
import io
import re
import unicodedata
from importlib.resources import files

import numpy as np
import pytest

DATA = files("zaowu.tasks") / "data" / "news_zh.csv"
SPORT, TECH = "体育", "科技"

# A row that holds a word of each list needs more than one keyword to be told apart.
SPORT_WORDS = re.compile(
    "球|赛|冠军|奥运|体育|电竞|运动|跑步|跑鞋|马拉松|教练|裁判|俱乐部|联盟|队|足协|NBA|F1|健身|滑雪|登山"
    "|跳水|游泳|泳衣|泳镜|选手|兴奋剂|药检|世界杯|欧洲杯|围棋|冰壶|李宁|姚明|林丹|詹姆斯"
)
TECH_WORDS = re.compile(
    "手机|芯片|数据|智能|直播|机器人|系统|5G|苹果|网站|微博|软件|电脑|App|视频|传感|算法|VR|AI|摄像|研究"
    "|游戏|专利|鹰眼|VAR|相机|电视|科学|科技|网络|互联网|卫星|无人机|手环|耳机|显卡|平板|3D|4K|基因|实验"
    "|工程师|学家|谷歌|微软|华为|联想|阿里|机器|电子|黑客|服务器|手表"
)


def read_rows() -> list[tuple[str, str]]:
    """(text, label) of every record, read as strictly as the format allows."""
    lines = io.StringIO(DATA.read_bytes().decode("utf-8"), newline="")
    header, *records = csv.reader(lines, strict=True)
    assert header == ["text", "label"]
    assert all(len(record) == 2 for record in records)
    return [(text, label) for text, label in records]


@pytest.fixture(scope="module")
def rows() -> list[tuple[str, str]]:
    return read_rows()


def bare(text: str) -> str:
    """Only letters and digits, in one case and width: what is left when style is taken away."""
    return "".join(c for c in unicodedata.normalize("NFKC", text).lower() if c.isalnum())


def near_duplicates(texts: list[str], threshold: float) -> list[tuple[str, str]]:
    """Pairs whose sets of character bigrams have a Jaccard index above the threshold."""
    bigrams = [{t[i : i + 2] for i in range(len(t) - 1)} for t in map(bare, texts)]
    seen: dict[str, list[int]] = {}
    pairs = []
    for i, mine in enumerate(bigrams):
        shared: dict[int, int] = {}
        for bigram in mine:
            for j in seen.setdefault(bigram, []):
                shared[j] = shared.get(j, 0) + 1
            seen[bigram].append(i)
        for j, both in shared.items():
            if both / (len(mine) + len(bigrams[j]) - both) > threshold:
                pairs.append((texts[j], texts[i]))
    return pairs


def surface(text: str) -> list[float]:
    """What a text looks like, whatever it says: length, digits, Latin letters, punctuation."""
    return [
        len(text),
        sum(c.isdigit() for c in text),
        sum(c.isascii() and c.isalpha() for c in text),
        sum(unicodedata.category(c)[0] in "PS" for c in text),
        *(text.count(mark) for mark in " ：，！？“(《%-、"),
        text.startswith("图"),
    ]


def test_the_file_is_plain_utf8_and_small():
    raw = DATA.read_bytes()
    assert not raw.startswith(b"\xef\xbb\xbf")
    assert b"\r" not in raw
    assert raw.endswith(b"\n")
    assert len(raw) < 200_000
    assert "\ufffd" not in raw.decode("utf-8")


def test_two_balanced_classes(rows):
    labels = [label for _, label in rows]
    assert set(labels) == {SPORT, TECH}
    counts = [labels.count(SPORT), labels.count(TECH)]
    assert min(counts) >= 300
    assert max(counts) <= 1.05 * min(counts)


def test_texts_are_clean_and_of_headline_length(rows):
    for text, _ in rows:
        assert text == " ".join(text.split()), text  # no edges, runs, tabs or wide spaces
        assert all(unicodedata.category(c) not in ("Cc", "Cf", "Co", "Cn") for c in text), text
        assert 6 <= len(text) <= 80, text
    lengths = [len(text) for text, _ in rows]
    assert 12 <= np.median(lengths) <= 30
    assert np.mean([length >= 25 for length in lengths]) > 0.1  # leads, not only headlines


def test_near_duplicates_finds_what_it_should():
    texts = ["火箭主场大胜湖人", "火箭 主场大胜湖人！", "新款手机今日上市"]
    assert near_duplicates(texts, 0.6) == [(texts[0], texts[1])]


def test_no_two_rows_say_the_same(rows):
    texts = [text for text, _ in rows]
    assert len({bare(text) for text in texts}) == len(texts)
    assert near_duplicates(texts, 0.6) == []


def test_the_label_is_not_written_in_the_text(rows):
    telling = [text for text, label in rows if label in text]
    assert len(telling) <= 0.02 * len(rows)


def test_looks_alone_do_not_tell_the_class(rows):
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features = np.array([surface(text) for text, _ in rows], dtype=float)
    labels = np.array([label == TECH for _, label in rows])
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    models = [
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
        GradientBoostingClassifier(n_estimators=60, max_depth=2, random_state=0),
    ]
    for model in models:
        assert cross_val_score(model, features, labels, cv=folds).mean() < 0.75


def test_many_rows_need_more_than_one_keyword(rows):
    mixed = [(text, label) for text, label in rows if SPORT_WORDS.search(text) and TECH_WORDS.search(text)]
    assert len(mixed) >= 60
    labels = [label for _, label in mixed]
    # If the mixed rows fell on one side, holding both words would itself be a keyword.
    assert min(labels.count(SPORT), labels.count(TECH)) >= 0.35 * len(mixed)
