"""The two languages say the same things, and what the other rooms write is known in both."""

import re
from pathlib import Path

import pytest

import zaowu.report
from zaowu.errors import UserError
from zaowu.report.chinese import WORDS as CHINESE
from zaowu.report.english import WORDS as ENGLISH
from zaowu.report.say import Say, language

ROOM = Path(zaowu.report.__file__).parent


def test_both_languages_have_the_same_keys_in_the_same_order():
    assert list(ENGLISH) == list(CHINESE)


@pytest.mark.parametrize("key", ENGLISH)
def test_a_sentence_has_the_same_gaps_in_both_languages(key):
    def gaps(words):
        return sorted(set(re.findall(r"{(\w+)}", words)))

    assert gaps(CHINESE[key]) == gaps(ENGLISH[key])


@pytest.mark.parametrize("key", [key for key in CHINESE if CHINESE[key] == ENGLISH[key]])
def test_what_is_alike_in_both_is_no_forgotten_translation(key):
    assert key in {"f1", "counted", "model"} or not re.search(r"[a-z]{3}", re.sub(r"{\w+}", "", CHINESE[key]))


def test_no_sentence_is_left_over():
    sources = [path for path in ROOM.glob("*.py") if path.stem not in ("english", "chinese")]
    sources += (ROOM / "templates").glob("*.j2")
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    used = set(re.findall(r"""['"]([\w.]+)['"]""", text))
    groups = {words.rstrip(".") for words in used} | set(re.findall(r"""f?['"]([a-z_]+)\.[{']""", text))
    parts = {key: key.split(".") for key in ENGLISH}
    unused = [
        key
        for key, words in parts.items()
        if key not in used and not any(".".join(words[:end]) in groups for end in range(1, len(words)))
    ]
    assert not unused


def test_what_training_and_scoring_say_is_known_in_chinese():
    from dataclasses import replace

    from zaowu import targets
    from zaowu.evaluate.baseline import TFIDF
    from zaowu.targets.text.beside import COMMON
    from zaowu.targets.text.cheap import METHODS
    from zaowu.train.stop import Point, reason_to_stop

    def point(epoch, f1):
        return Point(epoch, epoch, 0.1, 0.1, 1.0, {"macro_f1": f1, "log_loss": 0.1}, rank=(f1, -0.1))

    done = reason_to_stop([point(5, 0.5)], epochs=5, patience=2)
    stuck = reason_to_stop([point(1, 0.9), point(2, 0.5), point(3, 0.5)], epochs=9, patience=2)
    say = Say("zh")
    assert say.told(done) == "5 轮全部完成"
    assert say.told(stuck) == "验证集上连续 2 次评估没有进步"
    bounds = {"steps": {"steps": 1}, "tokens": {"tokens": 0}, "time": {"seconds": 1.0}, "reach": {"reach": 0.5}}
    for bound in bounds.values():
        assert re.search("[\u4e00-\u9fff]", say.told(reason_to_stop([point(1, 0.5)], **bound))), bound
    assert say.told(reason_to_stop([replace(point(1, 0.5), train_loss=float("inf"))])).startswith("训练发散")
    assert say.name("scored_on", "5-fold cross-validation") == "5 折交叉验证评分"
    assert say.name("baseline", "majority") == "总是猜最多的类别"
    for kind in targets.kinds():
        own = targets.find(kind, where="test")
        for prior in {"tokens": ["cheap_name"], "states": []}.get(own.reads, ["prior_name"]):
            assert re.search("[\u4e00-\u9fff]", say.name("baseline", getattr(own, prior))), prior
    for method in (*(method.name for method in METHODS), COMMON):
        assert re.search("[\u4e00-\u9fff]", say.name("baseline", method)), method
    assert say.name("baseline", TFIDF) == "TF-IDF + 线性模型"


def test_what_reading_says_is_known_in_chinese():
    import numpy as np
    import polars as pl

    from zaowu.inputs import text
    from zaowu.records.check import NO_LABEL, NO_NUMBER, NO_TEXT, NO_WEIGHT
    from zaowu.records.records import Table
    from zaowu.records.schema import guess

    titles = [f"第 {number} 条新闻的标题写在这里" for number in range(1200)]
    columns = {
        "id": range(1200),
        "title": titles,
        "price": [0.5, 7, 9] * 400,
        "place": list("abc") * 400,
        "none": [None] * 1200,
    }
    frame = pl.DataFrame({**columns, "label": ["体育", "科技"] * 600})
    table = Table(frame, np.arange(2, 1202), "news.csv")
    reasons = [column.reason for column in guess(table, guessers={"text": text.guess}).columns]
    reasons += [column.reason for column in guess(table, guessers={"text": text.guess}, target=["place"]).columns]
    frame = frame.with_columns(
        tags=pl.Series(["[]", '["体育"]'] * 600), size=pl.Series([number / 7 for number in range(1200)])
    )
    answers = guess(
        Table(frame, np.arange(2, 1202), "news.csv"),
        guessers={"text": text.guess},
        target=["tags", "size"],
        weight="price",
    )
    reasons += [column.reason for column in answers.columns]
    say = Say("zh")
    problems = (NO_LABEL, NO_TEXT, NO_NUMBER, NO_WEIGHT)
    for sentence in (*reasons, *problems, "Read as GB18030.", "Columns are separated by tabs."):
        assert re.search("[\u4e00-\u9fff]", say.told(sentence)), sentence
        assert "{n}" not in say.told(sentence)
        assert Say("en").told(sentence) == sentence
    assert say.told("words, 20 characters on average, 98% different") == "文字，平均 20 个字符，98% 互不相同"
    assert say.told("1,200 different numbers") == "有 1,200 个不同的数"


def test_a_value_without_a_word_stays_as_it_is():
    assert Say("zh").name("stage", "{odd} 3 <b>") == "{odd} 3 <b>"
    assert Say("zh").told("{odd} 3 <b> {n}") == "{odd} 3 <b> {n}"


def test_numbers():
    english, chinese = Say("en"), Say("zh")
    assert english.percent(0.94149) == "94.1 %"
    assert chinese.percent(0.94149) == "94.1%"
    assert english.percent(None) == english.percent(float("nan")) == english.interval(0.1, None) == "–"
    assert english.interval(0.926, 0.9551) == "92.6 to 95.5"
    assert chinese.interval(-0.011, 0.02, signed=True) == "-1.1%～+2.0%"
    assert english.points(-0.021) == "2.1 points"
    assert english.score("log_loss", 0.2514) == "0.251"
    assert english.score("mae", 3.14159) == "3.142" and english.score("r2", 0.87654) == "0.877"
    assert english.score("rmse", 1_234_567.8) == "1,234,568"
    assert english.range("mae", 9_000.0, 12_345.6) == "9,000 to 12,346"
    assert english.gap("mae", -12_345.6, signed=True) == "-12,346" and english.gap("mae", -0.5) == "0.5"
    assert english.gap("micro_f1", -0.021) == "2.1 points"
    assert english.whole(1234567) == "1,234,567"
    assert english.million(33_148_000) == "33.1 million"
    assert chinese.million(33_148_000) == "3,315 万"
    assert english.million(1_638_000_000) == "1.6 billion" and chinese.million(163_800_000) == "1.6 亿"
    assert english.million(None) == english.million(float("nan")) == "–"
    assert english.duration(0.44) == "0.4 s"
    assert chinese.duration(75) == "1 分 15 秒"
    assert english.listed(list("abc"), most=2) == "a, b and 1 more"
    assert chinese.listed(list("abc"), most=2) == "a、b 等（另有 1 个）"


def test_another_language_is_refused():
    with pytest.raises(UserError, match="expected en or zh, got 'fr'"):
        Say("fr")


@pytest.mark.parametrize(
    ("told", "lang"), [("zh_CN.UTF-8", "zh"), ("zh", "zh"), ("en_GB.UTF-8", "en"), ("C", "en"), ("", "en")]
)
def test_the_language_is_the_persons_choice_or_their_locales(told, lang, monkeypatch):
    for name in ("LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", told)
    assert language(None) == lang
    assert language("zh") == "zh" and language("en") == "en"
    with pytest.raises(UserError, match="expected en or zh"):
        language("fr")
