"""`zaowu generate`: with a base of our own and with published models; alone, together, streamed; refusals."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

import zaowu
from zaowu.config import WriteConfig
from zaowu.errors import UserError
from zaowu.run.language import open_language
from zaowu.verbs.generate import stream

PROMPTS = ["姚明宣布", "新款手机今天在北京发布，", "国安"]
HOW = {"precision": "fp32", "threads": 1, "quiet": True}

BROKEN = "\ufffd"


@pytest.fixture(scope="module")
def base(news, tmp_path_factory) -> Path:
    """Pre-trained for a moment on the news."""
    folder = tmp_path_factory.mktemp("causal")
    rows = [json.dumps({"text": text}, ensure_ascii=False) for text, _ in news]
    (folder / "corpus.jsonl").write_text("\n".join(rows), "utf-8")
    sizes = {"size": "mini", "vocab_size": 1500, "length": 32, "batch_size": 16, "settings": {"held_out": 0.1}}
    how = {"objective": "causal", "pieces": "bpe", "steps": 40, "lr": 5e-3, "lang": "en"}
    zaowu.pretrain(folder / "corpus.jsonl", out=folder / "base", **how, **sizes, **HOW)
    return folder / "base"


@pytest.fixture(scope="module")
def published(base, tmp_path_factory) -> dict[str, Path]:
    """Tiny random models as others publish them, with that base's pieces and no tokenizer_config.json."""
    transformers = pytest.importorskip("transformers")
    pieces = json.loads((base / "config.json").read_text("utf-8"))
    special = {"eos_token_id": pieces["eos_token_id"], "bos_token_id": None, "vocab_size": pieces["vocab_size"]}
    llama = {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 24,
        "max_position_embeddings": 48,
        "initializer_range": 0.5,
    }
    gpt2 = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 48, "initializer_range": 0.5}
    marian = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "init_std": 0.5, "max_position_embeddings": 48}
    marian |= {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8}
    marian |= {"pad_token_id": special["eos_token_id"], "decoder_start_token_id": special["eos_token_id"]}
    made = {
        "gpt2": transformers.GPT2LMHeadModel(transformers.GPT2Config(**special, **gpt2)),
        "llama": transformers.LlamaForCausalLM(transformers.LlamaConfig(**special, **llama)),
        "qwen2": transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**special, **llama)),
        "marian": transformers.MarianMTModel(transformers.MarianConfig(**special, **marian)),
    }
    found = {}
    for name, model in made.items():
        found[name] = tmp_path_factory.mktemp("published") / name
        model.save_pretrained(found[name])
        shutil.copy(base / "tokenizer.json", found[name])
    return found


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("kind", ["gpt2", "llama", "qwen2", "marian", "base"])
def test_the_text_is_what_their_library_writes(kind, beams, base, published):
    """Three prompts of different lengths at once, against theirs one by one."""
    import transformers

    folder = base if kind == "base" else published[kind]
    auto = transformers.AutoModelForSeq2SeqLM if kind == "marian" else transformers.AutoModelForCausalLM
    theirs = auto.from_pretrained(folder).eval()
    language = open_language(folder, device=torch.device("cpu"), precision_name="fp32")
    found = zaowu.generate(folder, PROMPTS, max_tokens=12, beams=beams, no_repeat=3, **HOW).texts
    for prompt, (text,) in zip(PROMPTS, found, strict=True):
        ids = language.prompts([prompt])[0]
        how = {"max_new_tokens": 12, "num_beams": beams, "do_sample": False, "no_repeat_ngram_size": 3}
        how |= {"forced_eos_token_id": None, "pad_token_id": min(language.ends)}
        out = theirs.generate(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids)), **how)
        row = out[0].tolist()[1 if kind == "marian" else len(ids) :]
        row = row[: next((place for place, token in enumerate(row) if token in language.ends), len(row))]
        before = [] if kind == "marian" else ids
        decode = language.codec.tokenizer.decode
        # Halves of characters that random weights leave behind are counted otherwise piece by piece than at once.
        told, expected = (
            words.replace(BROKEN, "") for words in (text.text, decode(before + row)[len(decode(before)) :])
        )
        assert told == expected
        assert text.tokens == len(row)


def test_streamed_and_at_once_are_one_text(base):
    for choices in ({}, {"temperature": 0.9, "top_k": 20, "seed": 3}, {"stop": ("，",), "temperature": 1.5}):
        pieces = list(stream(base, PROMPTS[0], config=WriteConfig(max_tokens=30, **choices), **HOW))
        assert "".join(pieces) == zaowu.generate(base, PROMPTS[0], max_tokens=30, **choices, **HOW).lines()[0]
        assert "，" not in "".join(pieces) or "stop" not in choices
    assert len(pieces) > 1 or choices["stop"]


def test_seeds_and_rows_decide_what_is_drawn(base):
    def draw(prompts: list[str], **more) -> list[str]:
        return zaowu.generate(base, prompts, max_tokens=20, temperature=1.0, **more, **HOW).lines()

    whole = draw([PROMPTS[0]] * 3)
    assert len(set(whole)) > 1, "rows have chances of their own"
    assert draw([PROMPTS[0]] * 3) == whole and draw([PROMPTS[0]]) == whole[:1]
    assert draw([PROMPTS[0]], num=3) == whole
    assert draw([PROMPTS[0]] * 3, seed=1) != whole


def test_one_of_some_answers_is_chosen(base):
    found = zaowu.generate(base, PROMPTS, one_of=["退役", "发布会", "退役了"], **HOW).to_plain()
    assert len(found) == 3
    for one in found:
        assert sum(one["probabilities"].values()) == pytest.approx(1)
        assert one["answer"] == max(one["probabilities"], key=one["probabilities"].get)


def test_writing_ends_where_the_context_does(published):
    """Whatever is asked for: the model has 48 places."""
    (text,) = zaowu.generate(published["gpt2"], "姚明宣布", max_tokens=5000, temperature=1.0, **HOW).texts[0]
    ids = open_language(published["gpt2"], device=torch.device("cpu")).prompts(["姚明宣布"])[0]
    assert text.reason == "end" or text.tokens == 48 - len(ids)


def test_the_command(base, command):
    done = command("generate", base, *PROMPTS[:2], "--max-tokens", 8, "--threads", 1, "--precision", "fp32")
    assert (done.code, done.err) == (0, "") and done.out.count("\n") >= 2
    done = command("generate", base, PROMPTS[0], "--max-tokens", 8, "--json", "--threads", 1)
    assert json.loads(done.out)[0]["prompt"] == PROMPTS[0]
    plain = command("generate", base, PROMPTS[0], "--max-tokens", 8, "--threads", 1).out
    assert command("generate", base, PROMPTS[0], "--max-tokens", 8, "--threads", 1, "--stream").out == plain
    done = command("generate", base, PROMPTS[0], "--one-of", "退役", "--one-of", "发布", "--threads", 1)
    assert done.code == 0 and done.out.rstrip().endswith("%")
    done = command("generate", base, PROMPTS[0], "--max-tokens", 2, "--top-k", 3, "--threads", 1)
    assert done.code == 0 and "--top-k has no effect" in done.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([""], "the prompt: expected some text"),
        (["a", "  "], "prompt 2: expected some text"),
        (["长" * 3000], "this model reads 512 at most"),
        (["a", "--temperature", "-1"], "--temperature: expected a number from 0"),
        (["a", "--beams", "10000"], "--beams: expected a number from 1 to 64, got 10,000"),
        (["a", "--beams", "3", "--temperature", "1"], "choose one of them"),
        (["a", "--num", "3"], "all texts would be the same"),
        (["a", "--num", "0"], "--num: expected 1 to 64"),
        (["a", "--stop", ""], "--stop: expected some text"),
        (["a", "--one-of", "x"], "--one-of: expected two"),
        (["a", "--max-tokens", "0"], "--max-tokens"),
        (["a", "b", "--stream"], "--stream: expected one prompt"),
        (["a", "--beams", "2", "--stream"], "--stream: with --beams"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(base, command, arguments, words):
    done = command("generate", base, *arguments, "--threads", 1)
    assert done.code == 2 and done.out == ""
    assert words in done.err and done.err.count("\n") == 1


def test_folders_that_write_nothing_are_one_sentence(tiny_base, tmp_path, published, command):
    def refused(folder: Path) -> str:
        done = command("generate", folder, "a", "--threads", 1)
        assert done.code == 2 and done.err.count("\n") == 1, done
        return done.err

    assert "reads texts and writes none" in refused(tiny_base)
    assert "found no config.json" in refused(tmp_path)
    assert "nothing" in refused(tmp_path / "nothing") or "expected" in refused(tmp_path / "nothing")
    broken = tmp_path / "broken"
    shutil.copytree(published["gpt2"], broken)
    config = json.loads((broken / "config.json").read_text("utf-8"))
    (broken / "config.json").write_text(json.dumps({**config, "eos_token_id": None}), "utf-8")
    assert "expected a piece that ends a text" in refused(broken)
    (broken / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<none>"}), "utf-8")
    assert "names no 'pad_token'" in refused(broken)
    (broken / "tokenizer_config.json").unlink()
    (broken / "config.json").write_text(json.dumps({**config, "vocab_size": 30}), "utf-8")
    assert refused(broken)
    (broken / "config.json").write_text(json.dumps(config), "utf-8")
    (broken / "model.safetensors").write_bytes(b"no")
    assert "safetensors" in refused(broken)


def test_the_front_door_has_it():
    assert zaowu.generate.__module__ == "zaowu.verbs.generate"
    with pytest.raises(UserError, match="--max-tokens"):
        zaowu.generate("nowhere", "a", max_tokens=-1)
