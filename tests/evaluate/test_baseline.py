"""The cheap methods: as good as scikit-learn's own pipeline, at home with few rows, and saved without pickle."""

import json
import struct

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from zaowu.errors import UserError
from zaowu.evaluate import baseline
from zaowu.evaluate.baseline import LINEAR, TFIDF, Baselines
from zaowu.evaluate.boosting import BOOSTING
from zaowu.evaluate.evaluate import evaluate
from zaowu.targets.category import Category
from zaowu.targets.number import Number
from zaowu.targets.tags import Tags

WORDS = {
    "体育": "球赛冠军联队射门教练球员决主场",
    "科技": "手机芯片软件网络数据平板系统屏",
    "财经": "股市银行利率基金公司债券投资涨",
}


def rows_of(number, *, seed=0, noise=0.3, classes=tuple(WORDS)):
    """Made-up headlines: characters of the class's list, some of them of another's."""
    rng = np.random.default_rng(seed)
    texts, labels = [], []
    for _ in range(number):
        label = classes[rng.integers(len(classes))]
        lists = [WORDS[label] if rng.random() > noise else WORDS[classes[rng.integers(len(classes))]] for _ in range(6)]
        texts.append("".join(word[rng.integers(len(word))] for word in lists))
        labels.append(label)
    return {"title": texts}, labels


MAJORITY = Category.prior_name


def fit_baselines(inputs, target, labels, valid=None, **how):
    """For the one target column "topic"."""
    held = None if valid is None else (valid[0], {"topic": valid[1]})
    return baseline.fit_baselines(inputs, {"topic": target}, {"topic": labels}, held, **how)


def predict(found, inputs):
    return found.predict(inputs)["topic"]


def linear(found):
    return found.answerers["topic"].linear


def test_as_good_as_the_plain_pipeline_and_its_probabilities_mean_something():
    (train, labels), valid, (test, truth) = rows_of(600), rows_of(300, seed=1), rows_of(500, seed=2)
    target = Category.fit(labels)
    found = fit_baselines(train, target, labels, valid)
    pipeline = make_pipeline(TfidfVectorizer(analyzer="char", ngram_range=(1, 2), sublinear_tf=True), LinearSVC())
    expected = np.mean(pipeline.fit(train["title"], labels).predict(test["title"]) == np.array(truth))
    scores = evaluate(target, predict(found, test)[TFIDF], truth, resamples=0).scores
    assert 0.5 < expected < 1 and scores["accuracy"].value >= expected - 0.02
    assert scores["calibration_error"].value < 0.06
    assert scores["log_loss"].value < 0.8 * np.log(3)


def test_majority_says_the_shares_of_training():
    inputs, labels = {"t": ["甲", "乙", "丙", "丁"]}, ["b", "b", "a", "b"]
    found = predict(fit_baselines(inputs, Category.fit([*labels, "c"]), labels), {"t": ["什么", "都行"]})[MAJORITY]
    assert found.labels == ["b", "b"]
    np.testing.assert_allclose(found.probabilities, [[0.25, 0.75, 0]] * 2, atol=2e-6)


def test_two_classes_and_their_sides():
    (train, labels), (test, truth) = (
        rows_of(100, classes=("体育", "科技")),
        rows_of(100, seed=1, classes=("体育", "科技")),
    )
    target = Category.fit(labels)
    found = predict(fit_baselines(train, target, labels), test)[TFIDF]
    assert np.mean(target.correct(found, truth)) > 0.9


@pytest.mark.parametrize("number", [1, 2, 3, 5, 20])
def test_hardly_any_rows(number):
    inputs, labels = rows_of(number)
    target = Category.fit([*labels, "体育", "科技"])
    found = fit_baselines(inputs, target, labels, rows_of(1, seed=9))
    for prediction in predict(found, rows_of(10, seed=3)[0]).values():
        assert prediction.probabilities.shape == (10, target.num_classes)
        np.testing.assert_allclose(prediction.probabilities.sum(axis=1), 1, atol=1e-5)


def test_classes_of_one_row_and_labels_that_nobody_knows():
    inputs, labels = rows_of(60)
    labels[:3] = ["孤", "独", "谁"]
    target = Category.fit([label for label in labels if label != "谁"])
    found = fit_baselines(inputs, target, labels, (inputs, labels))
    assert found.rows == 59
    assert set(predict(found, inputs)[TFIDF].labels) <= set(target.classes)


def test_texts_without_a_single_feature_fall_back_on_the_shares():
    target = Category.fit(["a", "a", "b"])
    found = predict(fit_baselines({"t": ["", "", ""]}, target, ["a", "a", "b"]), {"t": ["x"]})[TFIDF]
    np.testing.assert_allclose(found.probabilities, [[2 / 3, 1 / 3]], rtol=1e-5)


def test_the_label_may_hang_on_either_column():
    rng = np.random.default_rng(0)
    first, second = (rows_of(300, seed=seed, noise=0)[0]["title"] for seed in (1, 2))
    signs = rng.choice(list("○●"), 300)
    inputs = {"a": first, "b": [sign + text for sign, text in zip(signs, second, strict=True)]}
    found = fit_baselines(inputs, Category.fit(signs), signs.tolist())
    assert predict(found, inputs)[TFIDF].labels == signs.tolist()
    swapped = {"b": inputs["b"], "a": inputs["a"]}  # columns are found by name, not by place
    assert predict(found, swapped)[TFIDF].labels == signs.tolist()


def test_the_same_seed_gives_the_same_baseline():
    inputs, labels = rows_of(200)
    target = Category.fit(labels)
    one, other = (fit_baselines(inputs, target, labels, seed=4) for _ in range(2))
    assert np.array_equal(linear(one).weight, linear(other).weight) and linear(one).scale == linear(other).scale


def test_many_rows_are_thinned_out_and_the_person_is_told(monkeypatch, capsys):
    monkeypatch.setattr(baseline, "MAX_ROWS", 100)
    inputs, labels = rows_of(400)
    found = fit_baselines(inputs, Category.fit(labels), labels)
    assert found.rows == 100 and "100 of 400" in capsys.readouterr().err
    monkeypatch.setattr(baseline, "MAX_ROWS", 1000)
    assert fit_baselines(inputs, Category.fit(labels), labels).rows == 400
    assert "of 400" not in capsys.readouterr().err


def test_strength_is_chosen_on_a_part_of_many_rows_and_the_scale_on_the_last_fit(monkeypatch):
    (inputs, labels), valid = rows_of(600), rows_of(400, seed=1)
    target = Category.fit(labels)
    whole = fit_baselines(inputs, target, labels, valid)
    monkeypatch.setattr(baseline, "TUNING_ROWS", 401)
    part = fit_baselines(inputs, target, labels, valid)
    assert part.rows == 600 and linear(part).strength == linear(whole).strength
    assert np.array_equal(linear(part).weight, linear(whole).weight)
    assert linear(part).scale == pytest.approx(linear(whole).scale, rel=0.05)


def test_more_classes_than_a_classifier_each_is_good_for():
    classes = [chr(0x4E00 + number) for number in range(120)]
    texts = [a + b for a in classes for b in "1234"]
    labels = [text[0] for text in texts]
    target = Category.fit(labels)
    found = predict(fit_baselines({"t": texts}, target, labels), {"t": [a + "5" for a in classes]})[TFIDF]
    assert found.labels == classes and found.confidence.min() > 0.5


def test_portions_do_not_show(monkeypatch):
    inputs, labels = rows_of(50)
    found = fit_baselines(inputs, Category.fit(labels), labels)
    whole = predict(found, inputs)[TFIDF].probabilities
    monkeypatch.setattr(baseline, "PORTION", 7)
    assert np.array_equal(predict(found, inputs)[TFIDF].probabilities, whole)


@pytest.fixture
def saved(tmp_path):
    train, labels = rows_of(80)
    found = fit_baselines({**train, "lead": [text[::-1] for text in train["title"]]}, Category.fit(labels), labels)
    found.save(tmp_path)
    return found, tmp_path


def test_what_is_saved_comes_back_to_the_bit(saved):
    found, folder = saved
    assert sorted(path.name for path in folder.iterdir()) == ["baseline.json", "baseline.safetensors"]
    again = Baselines.load(folder)
    texts = rows_of(30, seed=5)[0]["title"]
    inputs = {"lead": texts, "title": texts[::-1], "other": texts}
    for name, prediction in predict(found, inputs).items():
        assert np.array_equal(predict(again, inputs)[name].probabilities, prediction.probabilities)


@pytest.mark.parametrize(
    "damage",
    [
        {"kind": "os"},
        {"kind": "number"},
        {"kind": None},
        {"plain": "category"},
        {"tuned": {}},
        {"tuned": {"classes": ["a", "b"], "counts": [1, 1]}},
        {"plain": {"classes": ["a", "b"], "counts": [1, 1]}, "tuned": {"classes": ["a", "b"], "counts": [1, 1]}},
        {"name": 7},
        {"scale": -1},
        {"scale": "big"},
        {"scale": 10**400},
        {"strength": None},
        {"strength": 0},
        {"more": 1},
    ],
)
def test_a_made_up_answer_is_refused(saved, damage):
    _, folder = saved
    state = json.loads((folder / "baseline.json").read_text("utf-8"))
    state["answers"][0] |= damage
    (folder / "baseline.json").write_text(json.dumps(state), "utf-8")
    with pytest.raises(UserError, match="baseline"):
        Baselines.load(folder)


@pytest.mark.parametrize(
    "damage",
    [
        {"rows": 10**400},
        {"rows": "many"},
        {"answers": []},
        {"answers": {}},
        {"answers": ["category"]},
        {"columns": []},
        {"columns": {}},
        {"columns": [{"name": "title"}]},
        {"columns": [{"name": "title", "vocabularies": {"characters": ["a"]}}]},
        {"columns": [{"name": 3, "vocabularies": {}}]},
        {"columns": [{"name": "title", "vocabularies": {}}]},
        {"more": 1},
    ],
)
def test_made_up_settings_are_refused(saved, damage):
    _, folder = saved
    state = json.loads((folder / "baseline.json").read_text("utf-8")) | damage
    (folder / "baseline.json").write_text(json.dumps(state), "utf-8")
    with pytest.raises(UserError, match="baseline"):
        Baselines.load(folder)


@pytest.mark.parametrize("name", ["baseline.json", "baseline.safetensors"])
@pytest.mark.parametrize("content", [None, b"", b"{", b"\x80\x00", b"[" * 100_000, struct.pack("<Q", 1 << 60) + b"{}"])
def test_damaged_files_are_refused(saved, name, content):
    _, folder = saved
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    with pytest.raises(UserError, match=name):
        Baselines.load(folder)


def test_weights_of_other_sizes_are_refused(saved):
    from safetensors.numpy import load_file, save_file

    _, folder = saved
    tensors = load_file(folder / "baseline.safetensors")
    for name in ("weight.0", "bias.0", "prior.0"):
        for wrong in (tensors[name][..., :-1], tensors[name].astype(np.float64), tensors[name] * np.nan):
            save_file(tensors | {name: np.ascontiguousarray(wrong)}, folder / "baseline.safetensors")
            with pytest.raises(UserError, match=name.removesuffix(".0")):
                Baselines.load(folder)


def test_several_answers_share_the_features_and_each_learns_from_the_rows_that_have_it():
    rng = np.random.default_rng(0)
    (train, topics), (test, truth) = rows_of(300, noise=0), rows_of(100, seed=1, noise=0)
    numbers = [{"体育": 10.0, "科技": 40.0, "财经": 70.0}[topic] + rng.normal() for topic in topics]
    some = [topic if number % 3 else None for number, topic in enumerate(topics)]
    tags = [json.dumps([topic, "新闻"] if number % 2 else [topic]) for number, topic in enumerate(topics)]
    goals = {"topic": Category.fit(some), "size": Number.fit(numbers), "tags": Tags.fit(tags)}
    found = baseline.fit_baselines(train, goals, {"topic": some, "size": numbers, "tags": tags})
    assert found.rows == 300
    answers = found.predict(test)
    assert {name: set(own) for name, own in answers.items()} == {
        "topic": {"majority", TFIDF},
        "size": {"mean", TFIDF},
        "tags": {"common_tags", TFIDF},
    }
    assert np.mean(np.array(answers["topic"][TFIDF].labels) == np.array(truth)) > 0.95
    expected = [{"体育": 10.0, "科技": 40.0, "财经": 70.0}[topic] for topic in truth]
    assert np.abs(answers["size"][TFIDF].value - expected).mean() < 5
    np.testing.assert_allclose(answers["size"]["mean"].value, np.mean(numbers), rtol=1e-5)
    assert np.mean([topic in own for topic, own in zip(truth, answers["tags"][TFIDF].labels, strict=True)]) > 0.95
    alone = fit_baselines(train, goals["topic"], some)
    assert alone.rows == 200  # of three rows one has no topic


def test_several_answers_come_back_to_the_bit(tmp_path):
    train, topics = rows_of(60)
    numbers = [float(len(text)) + number for number, text in enumerate(train["title"])]
    goals = {"topic": Category.fit(topics), "size": Number.fit(numbers)}
    found = baseline.fit_baselines(train, goals, {"topic": topics, "size": numbers})
    found.save(tmp_path)
    again = Baselines.load(tmp_path)
    assert list(again.answerers) == ["topic", "size"]
    for name, raw in found.outputs(train).items():
        assert np.array_equal(again.outputs(train)[name], raw)
        assert again.answerers[name].tuned == found.answerers[name].tuned


KINDS = {"age": "number", "since": "date", "housing": "category"}


def cells_of(number, *, seed=0):
    """A made table: who is old and rents says yes, which no linear model can tell."""
    rng = np.random.default_rng(seed)
    ages, owns = rng.integers(18, 80, number), rng.random(number) < 0.5
    cells = {
        "age": [str(age) if rng.random() > 0.05 else None for age in ages],
        "since": [f"2024年{month}月1日" for month in rng.integers(1, 13, number)],
        "housing": ["own" if own else "rent" for own in owns],
    }
    return cells, ["yes" if (age > 50) != own else "no" for age, own in zip(ages, owns, strict=True)]


@pytest.fixture(scope="module")
def of_a_table():
    """Two answers from a table and a text beside it."""
    cells, labels = cells_of(300)
    inputs = {**cells, "words": rows_of(300)[0]["title"]}
    numbers = [float(age or 40) for age in cells["age"]]
    goals = {"answer": Category.fit(labels), "size": Number.fit(numbers)}
    groups = {"text": ["words"], "table": list(KINDS)}
    labels = {"answer": labels, "size": numbers}
    return baseline.fit_baselines(inputs, goals, labels, groups=groups, kinds=KINDS), inputs


def test_a_table_has_a_third_method_that_sees_what_no_line_can(of_a_table):
    found, _ = of_a_table
    cells, truth = cells_of(200, seed=1)
    answers = found.predict({**cells, "words": rows_of(200, seed=1)[0]["title"]})
    assert list(answers["answer"]) == [MAJORITY, LINEAR, BOOSTING]
    assert list(answers["size"]) == ["mean", LINEAR, BOOSTING]
    right = {name: np.mean(np.array(own.labels) == np.array(truth)) for name, own in answers["answer"].items()}
    assert right[BOOSTING] > 0.9 > 0.75 > right[LINEAR]


def test_a_baseline_of_a_table_comes_back_to_the_bit(of_a_table, tmp_path):
    found, inputs = of_a_table
    found.save(tmp_path)
    again = Baselines.load(tmp_path)
    for name, raw in found.outputs(inputs).items():
        width = len(found.answerers[name].prior)
        assert raw.shape == (300, 2 * width) and raw[:, width:].any()
        assert np.array_equal(again.outputs(inputs)[name], raw)
        assert again.answerers[name].shaped == found.answerers[name].shaped
    size = sum((tmp_path / name).stat().st_size for name in ("baseline.safetensors", "baseline.json"))
    assert 0.5 * size < found.num_bytes <= size


@pytest.mark.parametrize(
    "damage",
    [
        None,
        {},
        {"sizes": {"depth": 3, "num_features": 3, "num_outputs": 2}},
        {"sizes": {"depth": 10**9}},
        {"shaped": {"classes": ["a", "b", "c"], "counts": [1, 1, 1]}},
        {"more": 1},
    ],
)
def test_made_up_trees_are_refused(of_a_table, tmp_path, damage):
    found, _ = of_a_table
    found.save(tmp_path)
    state = json.loads((tmp_path / "baseline.json").read_text("utf-8"))
    own = state["answers"][0]
    own["boosted"] = own["boosted"] | damage if damage else damage
    (tmp_path / "baseline.json").write_text(json.dumps(state), "utf-8")
    with pytest.raises(UserError, match="boosted"):
        Baselines.load(tmp_path)


def test_trees_without_a_table_are_refused(saved):
    _, folder = saved
    state = json.loads((folder / "baseline.json").read_text("utf-8"))
    state["answers"][0]["boosted"] = {"sizes": {}, "shaped": {}}
    (folder / "baseline.json").write_text(json.dumps(state), "utf-8")
    with pytest.raises(UserError, match="there is no table"):
        Baselines.load(folder)


@pytest.mark.parametrize("part", ["value", "left", "roots"])
def test_damaged_trees_are_refused(of_a_table, tmp_path, part):
    from safetensors.numpy import load_file, save_file

    found, _ = of_a_table
    found.save(tmp_path)
    tensors = load_file(tmp_path / "baseline.safetensors")
    name = f"boosted.0.{part}"
    for wrong in (None, tensors[name][:-1], tensors[name] + 10**6 * (tensors[name].dtype == np.int32)):
        rest = {key: array for key, array in tensors.items() if key != name}
        if wrong is not None and wrong.shape == tensors[name].shape and (wrong == tensors[name]).all():
            wrong = tensors[name] * np.float32(np.nan)
        save_file(
            rest if wrong is None else rest | {name: np.ascontiguousarray(wrong)}, tmp_path / "baseline.safetensors"
        )
        if part == "roots" and wrong is not None and len(wrong) < len(tensors[name]):
            continue  # a tree less is a forest all the same
        with pytest.raises(UserError, match="boosted"):
            Baselines.load(tmp_path)
