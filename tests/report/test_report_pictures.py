"""The pictures show the numbers that they were given."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest
import report_answers
import report_samples as samples

from zaowu.report import pictures, views
from zaowu.report.figure import Sheet, drawing
from zaowu.report.pictures import Interval
from zaowu.report.say import Say

SAY = Say("en")


def texts(svg):
    return ["".join(element.itertext()) for element in ElementTree.fromstring(svg).iter("text")]


def places(svg, words):
    """(x, y) of the texts that say `words`."""
    return [
        (float(element.attrib["x"]), float(element.attrib["y"]))
        for element in ElementTree.fromstring(svg).iter("text")
        if element.text == words
    ]


def lines(svg, colour):
    """Points of every line drawn in `colour`, a variable of the page's style."""
    return [
        [tuple(map(float, point.split())) for point in re.findall(r"[ML] (\S+ \S+)", element.attrib["d"])]
        for element in ElementTree.fromstring(svg).iter("path")
        if f"stroke: var(--{colour})" in element.attrib.get("style", "") and "id" not in element.attrib
    ]


@pytest.mark.parametrize("words", ["体育 <b>&", "$x^2$ \\frac", "100 % {}", "𠮷野家 😀", "עברית"])
def test_words_reach_the_page_as_they_are_and_nothing_warns(words):
    with drawing():
        sheet = Sheet(100, 50)
        sheet.write(sheet.axes(0, 0, 100, 50), 0.5, 0.5, words)
        assert words in texts(sheet.svg("a", "label"))


def test_neither_fonts_nor_colours_of_this_machine_are_in_the_picture():
    svg = pictures.loss_curve(samples.topics().history, 4, Say("zh"))
    assert "font-family" not in svg and "DejaVu" not in svg
    assert set(re.findall(r"(?:fill|stroke): ([^;\"]+)", svg)) <= {
        "none", *(f"var(--{name})" for name in ("ink", "muted", "rule", "paper", "accent", "second", "on-accent"))
    }  # fmt: skip


def test_the_persons_matplotlib_settings_neither_reach_the_picture_nor_change():
    import matplotlib

    plain = pictures.loss_curve(samples.topics().history, 4, SAY)
    with matplotlib.rc_context({"svg.fonttype": "path", "lines.linewidth": 9, "axes.grid": True, "font.size": 30}):
        before = dict(matplotlib.rcParams)
        assert pictures.loss_curve(samples.topics().history, 4, SAY) == plain
        assert dict(matplotlib.rcParams) == before


def test_intervals_lie_where_the_axis_says():
    rows = [Interval("ours", 0.94, 0.92, 0.96, ours=True), Interval("theirs", 0.90, 0.88, 0.92)]
    svg = pictures.intervals(rows, "accuracy", 0, SAY)
    [[(left, _), (right, _)]] = lines(svg, "accent")
    [[(other_left, _), (other_right, _)]] = lines(svg, "second")
    [(tick, _)], [(other_tick, _)] = places(svg, "95 %"), places(svg, "90 %")
    scale = (tick - other_tick) / 0.05
    assert [left, right, other_left, other_right] == pytest.approx(
        [tick + scale * (share - 0.95) for share in (0.92, 0.96, 0.88, 0.92)], abs=0.1
    )
    assert "94.0 % (92.0 to 96.0)" in texts(svg)


def test_a_baseline_far_below_does_not_squeeze_the_others():
    near = [Interval("ours", 0.94, 0.93, 0.95, ours=True), Interval("theirs", 0.92, 0.91, 0.93)]
    alone, with_far = (
        pictures.intervals(rows, "accuracy", 0, SAY) for rows in (near, [*near, Interval("far", 0.1, 0.09, 0.11)])
    )

    def width(svg):
        [[(left, _), (right, _)]] = lines(svg, "accent")
        return right - left

    assert width(with_far) == pytest.approx(width(alone), abs=0.02)
    assert "10.0 % (9.0 to 11.0)" in texts(with_far)


def test_curves_have_a_point_for_every_epoch_and_skip_what_is_not_a_number():
    history = [
        {"epoch": epoch, "train_loss": loss, "valid": {}}
        for epoch, loss in ((1, 2.0), (2, float("nan")), (3, 1.0), (4, 0.5))
    ]
    svg = pictures.loss_curve(history, None, SAY)
    curve = max(lines(svg, "accent"), key=len)
    assert len(curve) == 3
    (_, first), (_, second), (_, last) = curve
    assert second - first == pytest.approx(2 * (last - second), abs=0.1)  # 2.0 -> 1.0 -> 0.5, downwards is more
    assert pictures.score_curve(history, None, SAY) is None


@pytest.mark.parametrize("num", [1, 2, 5000])
def test_short_and_long_histories(num):
    history = [{"epoch": i + 1, "train_loss": 1 / (i + 1), "valid": {"log_loss": 0.5}} for i in range(num)]
    svg = pictures.loss_curve(history, num, SAY)
    assert max(map(len, lines(svg, "accent"))) <= pictures.MAX_POINTS + 1
    assert len(svg) < 40_000


def test_a_history_without_numbers_is_no_picture():
    assert pictures.loss_curve([], None, SAY) is None
    assert pictures.loss_curve([{"epoch": 1, "train_loss": float("inf"), "valid": {}}], None, SAY) is None


def test_the_heat_map_shows_the_counts_at_their_place():
    classes = ["体育", "科技", "财经"]
    cells = {("体育", "体育"): 41, ("体育", "科技"): 7, ("科技", "科技"): 52}  # no row of 财经 was scored
    svg = pictures.confusion(classes, cells, 0, SAY)
    [(x_right, y_right)], [(x_wrong, y_wrong)], [(x_other, y_other)] = (places(svg, n) for n in ("41", "7", "52"))
    assert y_right == y_wrong < y_other
    assert x_right < x_wrong == x_other
    assert texts(svg).count("·") == 3
    shares = [float(share) for share in re.findall(r"fill: var\(--accent\); opacity: ([\d.]+)", svg)]
    assert shares == pytest.approx([0.56 + 0.44 * 41 / 48, 0.08 + 0.74 * 7 / 48], abs=1e-5)  # 1.0 is not written
    assert svg.count("fill: var(--accent)") == 3


@pytest.mark.parametrize("num", [2, 9, 20])
def test_names_of_classes_stay_on_the_heat_map_and_apart(num):
    names = [f"talk.politics.somewhere.{chr(97 + i) * 2}" for i in range(num)]
    svg = pictures.confusion(names, {(name, name): 5 for name in names}, 0, SAY)
    assert len(set(texts(svg)) - {"5", "model says →", "← truth"}) == num
    root = ElementTree.fromstring(svg)
    for element in root.iter("text"):
        if "rotate(-45" in element.attrib["transform"]:
            length = 7.0 * len(element.text)  # wider than most fonts
            assert float(element.attrib["x"]) + 0.71 * length < float(root.attrib["width"])
            assert float(element.attrib["y"]) - 0.71 * length > 12


def test_above_twenty_classes_the_most_confused_pairs_are_listed():
    rng = np.random.default_rng(3)
    matrix = rng.integers(0, 50, size=(30, 30))
    names = [f"class {i}" for i in range(30)]
    cells = [
        {"truth": names[i], "predicted": names[j], "rows": int(matrix[i, j])}
        for i in range(30)
        for j in range(30)
        if matrix[i, j]
    ]
    found = views.confusions({"classes": names, "confusion": cells}, 0, SAY)
    assert found["picture"] is None
    np.fill_diagonal(matrix_off := matrix.copy(), 0)
    assert [pair["rows"] for pair in found["pairs"]] == sorted(matrix_off.ravel().tolist(), reverse=True)[:25]
    worst = found["worst"]
    assert matrix_off[names.index(worst["truth"]), names.index(worst["predicted"])] == matrix_off.max()
    assert worst["of"] == matrix[names.index(worst["truth"])].sum()
    few = {"classes": names[:20], "confusion": [cell for cell in cells if cell["truth"] == "class 3"][:9]}
    assert views.confusions(few, 0, SAY)["picture"].startswith("<svg")


def test_dots_of_the_reliability_picture_lie_at_their_share():
    bins = [{"rows": 10, "confidence": 0.6, "accuracy": 0.8}, {"rows": 40, "confidence": 0.9, "accuracy": 0.7}]
    svg = pictures.reliability(bins, 0, SAY)
    dots = [
        (float(element.attrib["x"]), float(element.attrib["y"]))
        for element in ElementTree.fromstring(svg).iter("use")
        if "var(--accent)" in element.attrib["style"]
    ]
    sheet_left, sheet_top, side = 56, 26, 240  # of the axes, which run from 50 to 100 %
    expected = [
        (sheet_left + side * (x - 0.5) / 0.5, sheet_top + side * (1 - y) / 0.5) for x, y in ((0.6, 0.8), (0.9, 0.7))
    ]
    assert np.array(dots) == pytest.approx(np.array(expected), abs=0.1)


def test_trust_weighs_the_bins_by_their_rows():
    bins = [{"rows": 10, "confidence": 0.6, "accuracy": 0.8}, {"rows": 40, "confidence": 0.9, "accuracy": 0.7}]
    _, words = views.trust({"calibration_bins": bins}, 0, SAY)
    assert "too sure of itself: its confidence lies 12.0 points above" in words  # (10 x -0.2 + 40 x 0.2) / 50
    _, words = views.trust({"calibration_bins": bins[:1]}, 0, SAY)
    assert "too modest: its confidence lies 20.0 points below" in words
    assert views.trust({"calibration_bins": []}, 0, SAY) is None


def test_the_limit_is_drawn_where_it_lies_within_the_lengths():
    histogram = {"edges": [0, 10, 20, 30], "counts": [5, 10, 1], "limit": 20}
    svg = pictures.lengths(histogram, SAY)
    [(x, _), *_] = lines(svg, "second")[0]
    assert x == pytest.approx(places(svg, "20")[0][0], abs=0.1)
    assert not lines(pictures.lengths({**histogram, "limit": 512}, SAY), "second")


def test_slices_share_one_scale():
    made = samples.topics(
        slices=[{"slice": "length", "value": "1-9", "rows": 9, "score": 0.7, "low": 0.55, "high": 0.85}]
    )
    [answer] = made.answers
    answer.evaluation["accuracy"] = 0.9
    found = views.slices(answer, SAY)
    [row] = found["groups"]["length"]
    assert found["ends"] == ["50 %", "100 %"]
    assert (row["dot"], *row["bar"], found["mark"]) == pytest.approx((40, 10, 60, 80))


def test_classes_are_counted_over_all_sides():
    made = samples.topics(findings={"class_counts": {"train": {"a": 5, "b": 9}, "test": {"a": 6}}})
    found = views.class_counts(made)
    assert [(row["label"], row["counts"], row["total"]) for row in found["rows"]] == [
        ("a", [5, 6], 11),
        ("b", [9, 0], 9),
    ]
    assert found["sum"] == 20


def test_classes_without_rows_have_no_figures_and_come_last():
    table = views.per_class(samples.missing_class().answers[0].evaluation)
    assert [row["label"] for row in table][-1] == "股票"
    assert table[-1]["f1"] is None
    scores = [row["f1"] for row in table[:-1]]
    assert scores == sorted(scores)


def test_slices_of_a_number_start_at_zero_and_end_at_the_largest_bound():
    rows = [
        {"slice": "length", "value": "1-9", "rows": 9, "score": 300.0, "low": 200.0, "high": 400.0},
        {"slice": "length", "value": "10", "rows": 1, "score": 100.0, "low": None, "high": None},
    ]
    found = views.slices(report_answers.number_answer(slices=rows, evaluation={"mae": 240.0}), SAY)
    first, second = found["groups"]["length"]
    assert (first["dot"], *first["bar"], found["mark"]) == pytest.approx((75, 50, 50, 60))
    assert second["dot"] == pytest.approx(25) and second["bar"] is None
    assert found["ends"] == ["0", "400"] and found["metric"] == "mean absolute error"


def test_errors_far_above_the_others_do_not_squeeze_them():
    near = [Interval("ours", 90.0, 80.0, 100.0, ours=True), Interval("theirs", 110.0, 100.0, 120.0)]
    far = [*near, Interval("mean", 2000.0, 1900.0, 2100.0)]
    alone, with_far = (pictures.intervals(rows, "mae", 0, SAY, more_is_better=False) for rows in (near, far))

    def width(svg):
        [[(left, _), (right, _)]] = lines(svg, "accent")
        return right - left

    assert width(with_far) == pytest.approx(width(alone), abs=0.02)
    assert "2,000 (1,900 to 2,100)" in texts(with_far)
    [(left, _), (right, _)] = lines(alone, "accent")[0]
    [(eighty, _)], [(hundred, _)] = places(alone, "80"), places(alone, "100")
    assert [left, right] == pytest.approx([eighty, hundred], abs=0.1)


def test_the_scatter_has_a_dot_for_every_point_on_one_scale():
    svg = pictures.scatter([[10.0, 10.0], [20.0, 30.0]], 0, SAY)
    dots = [
        (float(element.attrib["x"]), float(element.attrib["y"]))
        for element in ElementTree.fromstring(svg).iter("use")
        if "var(--accent)" in element.attrib["style"]
    ]
    left, top, side, low, high = 64, 26, 240, 10 - 0.8, 30 + 0.8
    expected = [
        (left + side * (x - low) / (high - low), top + side * (high - y) / (high - low))
        for x, y in ((10, 10), (20, 30))
    ]
    assert np.array(dots) == pytest.approx(np.array(expected), abs=0.1)
    assert "<svg" in pictures.scatter([[5.0, 5.0]], 0, SAY)  # one point is a picture too


def test_residuals_are_bars_as_high_as_their_rows():
    svg = pictures.residuals([-20.0, -10.0, 0.0, 10.0], [2, 8, 4], 0, SAY)
    bars = [
        [float(part) for part in re.findall(r"-?[\d.]+", element.attrib["d"])]
        for element in ElementTree.fromstring(svg).iter("path")
        if "fill: var(--accent)" in element.attrib.get("style", "")
    ]
    heights = [max(bar[1::2]) - min(bar[1::2]) for bar in bars]
    assert [height / heights[0] for height in heights] == pytest.approx([1, 4, 2], abs=0.01)


def test_pictures_of_two_targets_on_one_page_have_different_names():
    bins = [{"rows": 10, "confidence": 0.6, "accuracy": 0.8}]
    first, second = (set(re.findall(r'id="([^"]+)"', pictures.reliability(bins, n, SAY))) for n in (0, 1))
    assert first and not first & second
