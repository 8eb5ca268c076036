"""Chats: a column of messages is learned turn by turn in the tokenizer's template, and asked in it again."""

from __future__ import annotations

import itertools
import json
import shutil

import pytest

import zaowu
from zaowu.errors import UserError
from zaowu.inputs.text.chat import Template, messages_of, turns
from zaowu.inputs.text.codec import Codec
from zaowu.verbs.evaluate import evaluate
from zaowu.verbs.generate import generate, stream
from zaowu.verbs.predict import predict

TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'robot' %}{{ raise_exception('no robots') }}{% endif %}"
    "{{ message['role'][0] | upper }}{{ message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}A{% endif %}"
)
HOW = {"quiet": True, "threads": 1, "precision": "fp32"}


def turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def chats() -> list[list[dict[str, str]]]:
    """The first answer is the letter in capitals; the second one, asked for with "+", is it twice."""
    found = []
    for place, letters in enumerate(itertools.product("abcdef", repeat=2)):
        word = "".join(letters)
        own = [turn("user", word), turn("assistant", word.upper())]
        if place % 2:
            own += [turn("user", "+"), turn("assistant", word.upper() * 2)]
        found.append(own)
    return found


def write(path, rows) -> str:
    path.write_text("\n".join(json.dumps({"messages": own}) for own in rows), "utf-8")
    return str(path)


@pytest.fixture(scope="module")
def base(tiny_causal, tmp_path_factory):
    folder = tmp_path_factory.mktemp("chat") / "base"
    shutil.copytree(tiny_causal, folder)
    (folder / "chat_template.jinja").write_text(TEMPLATE, "utf-8")
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> str:
    return write(tmp_path_factory.mktemp("chats") / "chats.jsonl", chats())


@pytest.fixture(scope="module")
def fitted(base, data, tmp_path_factory):
    how = {
        "base": str(base),
        "epochs": 80,
        "batch_size": 16,
        "lr": 1e-2,
        "valid": data,
        "settings": {"patience": 20},
        "test": data,
        "lang": "en",
    }
    return zaowu.fit(data, out=tmp_path_factory.mktemp("runs") / "chat", **how, **HOW)


def test_every_turn_of_the_assistant_is_learned(fitted, data):
    found = fitted.summary()
    assert found["exact_match"] > 0.9 and found["rows"] == 36 + 18
    assert evaluate(fitted.folder, data, **HOW).to_plain()["exact_match"] == pytest.approx(found["exact_match"])


def test_it_is_asked_in_the_template(fitted, tmp_path):
    assert predict(fitted.folder, ["cd", "ab"], **HOW).found.prediction.texts == ["CD", "AB"]
    assert generate(fitted.folder, ["cd", "ab"], chat=True, **HOW).lines() == ["CD", "AB"]
    assert generate(fitted.folder / "trunk", "UcdA", **HOW).lines() == ["CD"]
    assert "".join(stream(fitted.folder, "cd", chat=True, **HOW)) == "CD"
    path = write(tmp_path / "asked.jsonl", [[*chats()[7][:2], turn("user", "+")], chats()[7]])
    assert predict(fitted.folder, path, **HOW).found.prediction.texts == ["BBBB"] * 2


def test_the_template_stays_with_the_model(fitted):
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoTokenizer.from_pretrained(fitted.folder / "trunk")
    own = Template(Codec.from_folder(fitted.folder))
    for before, _ in turns(chats()[1]):
        assert own.prompt(before) == theirs.apply_chat_template(before, tokenize=False, add_generation_prompt=True)


def test_one_chat_stands_on_one_side(base, data):
    from zaowu.config import FitConfig, TextConfig
    from zaowu.inputs import cleaners, guessers
    from zaowu.learn.chats import understood
    from zaowu.records.prepare import prepare

    table, config, spread = understood(data, FitConfig(text=TextConfig(base=str(base))))
    found = prepare(table, config.data, guessers=guessers(), cleaners=cleaners(), spread=spread)
    assert len(found.whole) == 54 and found.folds is not None
    of_chat: dict[str, set[int]] = {}
    for chat, fold in zip(found.whole.values("chat"), found.folds, strict=True):
        of_chat.setdefault(chat, set()).add(int(fold))
    assert len(of_chat) == 36 and all(len(folds) == 1 for folds in of_chat.values())


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([chats()[0], [{"role": "user"}]], "row 2, column 'messages'"),
        ([[turn("user", "a")]] * 3, "expected turns of the assistant, found none"),
        ([[turn("robot", "a"), turn("assistant", "b")]] * 3, "refuses these messages .no robots."),
    ],
)
def test_refusals(base, rows, words, tmp_path):
    with pytest.raises(UserError, match=words):
        zaowu.fit(write(tmp_path / "chats.jsonl", rows), base=str(base), out=tmp_path / "run", **HOW)


def test_a_tokenizer_without_a_template_or_with_a_hostile_one(tiny_causal, base, data, tmp_path):
    with pytest.raises(UserError, match="expected a tokenizer with a chat template, found none"):
        zaowu.fit(data, base=str(tiny_causal), out=tmp_path / "run", **HOW)
    with pytest.raises(UserError, match="expected a tokenizer with a chat template"):
        generate(tiny_causal, "a", chat=True, **HOW)
    codec = Codec.from_folder(base)
    for hostile in ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "{% for %}", "{{ messages.append(1) }}"):
        codec.settings["chat_template"] = hostile
        with pytest.raises(UserError, match="the chat template"):
            Template(codec).prompt([turn("user", "a")])


@pytest.mark.parametrize("cell", ["", "[]", "{}", "[1]", '[{"role": "user", "content": 3}]', "[" * 100_000])
def test_cells_that_are_no_chat(cell):
    with pytest.raises(UserError, match="here: expected"):
        messages_of(cell, where="here")


def test_the_command(fitted, command):
    done = command("generate", fitted.folder, "ab", "--chat", "--threads", 1, "--precision", "fp32")
    assert (done.code, done.out.strip()) == (0, "AB")
