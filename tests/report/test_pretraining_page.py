"""The page of a pre-training run: whether it paid comes first, every field is on it, both languages, nothing runs."""

from __future__ import annotations

import dataclasses
import itertools
import re

import pytest
import report_pretraining as samples
from report_html import Page
from test_report_pictures import lines, texts
from test_report_safety import ATTACK

from zaowu.report.pretraining import Filled, Pretraining, Source, curves, render, sentences
from zaowu.report.pretraining.verdict import gained, kept, say_in
from zaowu.train.stop import Point

NAN, INF = float("nan"), float("inf")
LANGUAGES = [(name, lang) for name in ("masked", "causal") for lang in ("en", "zh")]
SECTIONS = ["result", "corpus", "training", "filled", "cost", "use", "again"]


@pytest.fixture(scope="module")
def pages():
    return {(name, lang): render(getattr(samples, name)(), lang=lang) for name, lang in LANGUAGES}


@pytest.fixture(params=LANGUAGES, ids="-".join)
def page(request, pages):
    return pages[request.param]


def words_of(page):
    """What a reader sees, the style aside."""
    return "\n".join(words for tag, words in Page(page).texts if tag != "style").replace("\u00a0", " ")


# ---- alone, and for everyone


def test_opening_it_asks_the_network_for_nothing(page):
    assert not re.search(
        r"https?:|//[a-z]|@import|src\s*=|srcset|url\(|<script|<iframe|<object|<embed|<form", page, re.I
    )
    found = Page(page)
    assert {attributes["href"] for attributes in found.all("link")} == {"data:,"}
    assert all(attributes["href"].startswith("#") for attributes in found.all("a", "use"))
    policies = [attributes["content"] for attributes in found.all("meta") if "http-equiv" in attributes]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]
    assert len(page.encode()) < 100_000


def test_the_structure_is_what_readers_aloud_rely_on(page):
    found = Page(page)
    assert len(found.all("h1")) == len(found.all("main")) == 1
    levels = [int(tag[1]) for tag, _ in found.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert all(attributes["role"] == "img" and len(attributes["aria-label"]) > 3 for attributes in found.all("svg"))
    assert all("scope" in attributes for attributes in found.all("th"))
    ids = [attributes["id"] for _, attributes in found.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {attributes["href"][1:] for attributes in found.all("a", "use")} <= set(ids)
    assert [attributes["aria-labelledby"] for attributes in found.all("section")] == SECTIONS


# ---- the first line


def test_the_verdict_is_the_first_line(pages):
    for (name, lang), page in pages.items():
        heading = re.search(r"<h1>(.*?)</h1>", page, re.S)
        said = Page(heading[0]).text().replace("\u00a0", " ")
        assert said == sentences(getattr(samples, name)(), lang)[0]
        assert page.index("<h1>") - page.index("<body>") < 40


def test_a_gain_is_told_in_one_sentence():
    first, second = sentences(samples.masked())
    assert first == (
        "bases/mine was pre-trained from scratch on 14.9 million tokens: perplexity on 987 held-out documents fell "
        "from 8,012 to 24.9; 44.0 % of the hidden pieces are named right; training ended: all 10,000 steps done."
    )
    assert "78.3 % of the pairs" in second


def test_no_gain_is_the_first_thing_said():
    first, advice = sentences(samples.causal())
    assert first.startswith(
        "Nothing was gained on 987 held-out documents: bases/law was trained further from bases/gpt"
    )
    assert "22.5, after 20.1 before the first step" in first and "of the next pieces" in first
    assert advice.startswith("Use bases/gpt as it was")
    assert sentences(samples.causal(), "zh")[0].startswith("在留出的 987 篇文档上没有任何收获")
    scratch = samples.masked(before={"perplexity": 24.0})
    assert sentences(scratch)[0].startswith("Nothing was gained") and "Do not use this base" in sentences(scratch)[1]


def point(step, *, rank=(), **valid):
    return Point(1, step, 2.0, 1e-4, float(step), valid, rank=rank)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"perplexity": 9.0}, {"perplexity": 8.9}, (True, "perplexity")),
        ({"perplexity": 9.0}, {"perplexity": 9.0}, (False, "perplexity")),
        ({"perplexity": 9.0}, {"perplexity": NAN}, (False, "perplexity")),
        ({"perplexity": INF, "loss": 5.0}, {"perplexity": 8.0, "loss": 4.0}, (True, "loss")),
        ({"loss": 2.0}, {"loss": 2.5}, (False, "loss")),
        ({}, {"perplexity": 8.0}, (None, "perplexity")),
        ({"perplexity": 9.0}, {}, (None, "")),
        ({}, {}, (None, "")),
    ],
)
def test_a_gain_is_a_lower_perplexity_of_what_was_kept(before, after, expected):
    made = samples.masked(before=before, history=(point(5, **after),))
    assert gained(made) == expected
    first = sentences(made)[0]
    assert first.startswith("Nothing was gained") == (expected[0] is False)
    assert "not measured" in first if expected[0] is None else "not measured" not in first
    assert "nan" not in first.lower() and "–" not in first
    Page(render(made, lang="zh"))


def test_the_kept_weights_are_the_best_ones_not_the_last():
    made = samples.masked()
    assert kept(made.history).step == 9_500
    assert kept(()) is None
    ranks = (point(1, rank=(-3.0,)), point(2, rank=(NAN,)), point(3, rank=(-2.0,)), point(4))
    assert kept(ranks).step == 3
    assert kept((point(1), point(2))).step == 2


# ---- every field


def test_every_field_appears(pages):
    """Each field has a mark of its own that is on the page and, taken out of the content, is not."""
    marks = {
        "name": ("bases/mine", "other"),
        "objectives": ("next-sentence prediction", ("masked",)),
        "base": ("random weights", "e5"),
        "shape": ("256", {}),
        "sources": ("corpus/headlines.txt", ()),
        "corpus": ("20,913", {}),
        "unreadable": ("archive ends too early", ()),
        "mask": ('<span class="slot">[MASK]</span>', "[X]"),
        "history": ("24.9", ()),
        "before": ("8,012", {}),
        "reason": ("all 10,000 steps done", ""),
        "filled": ("球迷在体育馆外排起", ()),
        "cost": ("22,743", {}),
        "command": ("--vocab-size 8000", ""),
        "opens_with": ("AutoModelForMaskedLM", ()),
        "notes": ("Read as GB18030: 3 files.", ()),
    }
    assert {*marks, "no_config"} == {field.name for field in dataclasses.fields(Pretraining)}
    page = pages["masked", "en"]
    for name, (mark, nothing) in marks.items():
        without = samples.masked(**{name: nothing}, **({"command": ""} if name == "name" else {}))
        assert mark in page and mark not in render(without, lang="en"), name
    assert "No class of transformers opens the folder: ReZero residuals" in pages["causal", "en"]
    assert "AutoModel" not in pages["causal", "en"]


def test_numbers_of_the_content_are_on_the_page(pages):
    words = words_of(pages["masked", "en"]).split("\n")
    for said in (
        *("98,516", "412,876", "20,913", "3,377", "12", "987", "14.9 million", "151,906"),  # the corpus
        *("5.3 million", "4", "256", "8,000", "128"),  # the shape
        *("18,204", "41.3 MB", "88.1 kB", "0.5", "74.7 %", "46.1 MB"),  # the sources
        *("2 h 0 min", "163.8 million", "22,743", "4.9 × 10¹⁵", "6.8 × 10¹¹", "1,874 MB", "130 Wh"),  # the cost
        *("24.9", "44.0 %", "78.3 %", "before: 49.7 %", "before: 8,012"),
    ):
        assert said in words, said
    assert "it is 65 W, a guess" in "\n".join(words)
    assert "Shown: 2 of 12." in words
    assert {"1,487 万", "1.6 亿", "532 万"} <= set(words_of(pages["masked", "zh"]).split("\n"))
    assert "zaowu fit data.csv --base bases/mine" in words


def test_commands_can_be_pasted_whatever_the_folder_is_called():
    words = words_of(render(samples.masked(name="my base's"), lang="en"))
    assert """--base 'my base'"'"'s'""" in words
    assert 'AutoModelForPreTraining.from_pretrained("my base\'s")' in words


# ---- what it fills in


def test_pieces_stand_beside_their_probabilities_and_the_right_one_is_marked(pages):
    page = pages["masked", "en"]
    lists = re.findall(r'<ol class="answers">(.*?)</ol>', page, re.S)
    assert len(lists) == len(samples.HIDDEN) == 10
    for (_, truth, pieces, chances), found in zip(samples.HIDDEN, lists, strict=True):
        rows = [Page(row).text().replace("\u00a0", " ").split("\n") for row in re.findall(r"<li.*?</li>", found, re.S)]
        expected = [
            [piece, f"{100 * chance:.1f} %", *(["✓ right"] if piece == truth else [])]
            for piece, chance in zip(pieces, chances, strict=True)
        ]
        assert rows == expected
        assert re.findall(r"width: ([\d.]+)%", found) == [f"{100 * chance:.1f}" for chance in chances]
    assert page.count("not among those shown") == 1
    assert "right one in 6 of 10 sentences; it is among those shown in 9" in words_of(page)


def test_a_continuation_stands_beside_how_the_text_went_on(pages):
    words = words_of(pages["causal", "zh"])
    for said in (
        "本院认为，原告的",
        "诉讼请求缺乏事实和法律依据，不予支持。",
        "诉讼请求，本院予以支持。被告应当在十日内",
    ):
        assert said in words
    assert "续写示例" in words and "填空示例" not in words
    assert "answers" not in re.sub("<style>.*</style>", "", pages["causal", "zh"], flags=re.S)


def test_the_mask_stays_in_sight_in_a_long_text():
    long = Filled("长" * 5_000 + " [MASK] " + "尾" * 5_000, " the", ((" the", 0.5), (" ", 0.2), ("\n", NAN)))
    page = render(samples.masked(filled=(long,)), lang="en")
    assert "长 <span" in page and "</span> 尾" in page and "…长" in page
    assert len(page.encode()) < 60_000
    assert "<bdi>␣</bdi>" in page and page.count("✓ right") == 1
    assert "width: nan" not in page.lower()


# ---- the curves


def test_curves_start_before_the_first_step_and_mark_what_was_kept():
    made = samples.masked()
    drawn = dict(curves.pictures(made, say_in("en")))
    assert list(drawn) == [
        "Loss (lower is better)",
        "Held-out perplexity (lower is better)",
        "Held-out answers that are right",
        "Learning rate",
    ]
    last = made.history[-1]
    assert f"training {last.train_loss:.3g}, held-out {last.valid['loss']:.3g}" in drawn["Loss (lower is better)"]
    [trained], [held_out] = (
        [line for line in lines(drawn["Loss (lower is better)"], colour) if len(line) > 2]
        for colour in ("accent", "second")
    )
    assert len(held_out) == len(trained) + 1 == 21
    assert held_out[1][0] == trained[0][0] and held_out[0][0] < trained[0][0]
    for svg in drawn.values():
        assert [held_out[-2][0]] * 2 in [[x for x, _ in line] for line in lines(svg, "muted")]  # step 9,500
    assert "10,000" in texts(drawn["Held-out perplexity (lower is better)"])


def test_points_that_are_no_numbers_are_skipped_and_steps_are_put_in_order():
    points = (
        point(20, loss=2.0, perplexity=7.0),
        point(10, loss=NAN, perplexity=INF),
        dataclasses.replace(point(30), train_loss=NAN, lr=INF),
        point(20, loss=2.1, perplexity=8.0),
    )
    made = samples.masked(history=points, before={"loss": INF})
    page = render(made, lang="en")
    assert page.count("<svg") == 3  # nothing says how many were right
    assert not re.search(r"\b(nan|inf|None)\b", words_of(page), re.I)


@pytest.mark.parametrize("history", [(), (point(1),), (point(0, loss=2.0),), (point(7, perplexity=3.0),)])
def test_a_history_of_hardly_anything(history):
    page = render(samples.masked(history=history, before={}), lang="en")
    Page(page)
    assert ("no curves" in words_of(page)) == (not history)
    assert ("<svg" in page) == bool(history)


def test_a_long_history_makes_no_large_page():
    made = samples.masked(history=samples.history(num=5_000))
    assert len(render(made, lang="en").encode()) < 150_000


# ---- whatever is missing, whatever is in it

FIELDS = [field.name for field in dataclasses.fields(Pretraining) if field.name != "name"]


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("name", FIELDS)
def test_anything_may_be_missing_or_stand_alone(name, lang, monkeypatch):
    if name not in ("history", "before"):  # slow to draw
        monkeypatch.setattr(curves, "curves", lambda *_, **__: "<svg></svg>")
    nothing, made = Pretraining(name="x"), samples.masked()
    Page(render(samples.masked(**{name: getattr(nothing, name)}), lang=lang))
    Page(render(dataclasses.replace(nothing, **{name: getattr(made, name)}), lang=lang))


def test_almost_nothing_is_a_page_too():
    page = render(Pretraining(name="x"), lang="en")
    assert [a["aria-labelledby"] for a in Page(page).all("section")] == ["training", "use"]
    assert "x was pre-trained from scratch, and whether anything was gained" in words_of(page)


def test_numbers_that_could_not_be_computed_are_dashes():
    broken = dict.fromkeys(samples.masked().cost, NAN)
    corpus = dict.fromkeys(samples.masked().corpus, NAN)
    made = samples.masked(cost=broken, corpus=corpus, sources=(Source("a", 0, 0, NAN),), before={"perplexity": NAN})
    assert not re.search(r"\b(nan|None|inf)\b", words_of(render(made, lang="en")), re.I)


def test_large_data_do_not_make_a_large_page():
    made = samples.masked(
        sources=tuple(Source(f"{i}" + "长" * 500, i, i) for i in range(2_000)),
        unreadable=("很长的文字 " * 20_000,) * 500,
        filled=(Filled("字" * 9_000, "字" * 900, (("字" * 900, 0.1),) * 500),) * 500,
        notes=("很长的文字 " * 20_000,) * 500,
    )
    page = render(made, lang="en")
    assert len(page.encode()) < 250_000
    assert "Shown: 60 of 2,000." in page and "Shown: 10 of 500." in page


def attacked(value):
    """Every text in the content, the attack before it."""
    if isinstance(value, str):
        return ATTACK + value
    if isinstance(value, tuple):
        return tuple(attacked(inner) for inner in value)
    if isinstance(value, Source | Filled):
        return type(value)(*(attacked(getattr(value, field.name)) for field in dataclasses.fields(value)))
    return value


@pytest.mark.parametrize(("name", "lang"), LANGUAGES)
def test_nothing_in_the_data_is_taken_for_html(pages, name, lang):
    made = getattr(samples, name)()
    fields = {field.name: getattr(made, field.name) for field in dataclasses.fields(made)}
    hostile = {key: value if key in ("history", "objectives") else attacked(value) for key, value in fields.items()}
    page = render(Pretraining(**hostile), lang=lang)
    found, clean = Page(page), Page(pages[name, lang])
    assert {(tag, key) for tag, attributes in found.elements for key in attributes} <= {
        (tag, key) for tag, attributes in clean.elements for key in attributes
    }
    assert {tag for tag, _ in found.elements} <= {tag for tag, _ in clean.elements}
    assert "<script>alert(1)</script>" in found.text("h1") and "49" not in found.text("h1")
    assert "{{ 7 * 7 }}" in found.text("bdi") and "{{ 7 * 7 }}" in found.text("code")
    assert page.count("<style>") == page.count("</style>") == 1


def test_an_objective_without_a_word_is_shown_as_text():
    assert "&lt;b&gt;odd" in render(Pretraining(name="x", objectives=("<b>odd",)), lang="zh")
