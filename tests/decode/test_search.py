"""Writing against `generate` of transformers on the same weights, and against texts that were searched by hand."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor

from zaowu.config import WriteConfig
from zaowu.decode.labels import score_labels
from zaowu.decode.search import beam_search, one_by_one
from zaowu.trunk import families
from zaowu.trunk.families.tensors import TOKENS
from zaowu.trunk.transformer.decoder.cross import Memory
from zaowu.trunk.transformer.decoder.stack import Decoder
from zaowu.trunk.transformer.decoder.writer import Writer
from zaowu.trunk.transformer.encoder import Encoder

VOCAB, END, PAD, TOKENS_MOST = 60, 0, 1, 14
SMALL = {"vocab_size": VOCAB, "eos_token_id": END, "pad_token_id": PAD, "bos_token_id": None}
KINDS = {
    "gpt2": ("GPT2", "GPT2LMHeadModel", {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64}),
    "llama": (
        "Llama",
        "LlamaForCausalLM",
        {
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "intermediate_size": 24,
            "max_position_embeddings": 64,
        },
    ),
    "marian": (
        "Marian",
        "MarianMTModel",
        {
            "d_model": 16,
            "encoder_layers": 1,
            "decoder_layers": 2,
            "encoder_attention_heads": 2,
            "decoder_attention_heads": 2,
            "encoder_ffn_dim": 24,
            "decoder_ffn_dim": 24,
            "max_position_embeddings": 64,
            "decoder_start_token_id": PAD,
            "forced_eos_token_id": None,
        },
    ),
}
BEGINNINGS = [[5, 9, 7, 12], [33, 2], [17, 18, 19, 20, 21, 22]]


class Both:
    """A tiny model of theirs, and ours with its weights."""

    def __init__(self, kind: str, folder: Path) -> None:
        family, name, sizes = KINDS[kind]
        torch.manual_seed(3)
        self.theirs = getattr(transformers, name)(getattr(transformers, f"{family}Config")(**SMALL, **sizes)).eval()
        with torch.no_grad():
            for weight in self.theirs.parameters():
                if weight.requires_grad:  # fixed positions are among them
                    weight.copy_(torch.randn_like(weight) * 0.5 + (weight.ndim == 1) * weight)
        self.theirs.save_pretrained(folder)
        data = json.loads((folder / "config.json").read_text("utf-8"))
        module = families.find(data["model_type"])
        config, facts = module.read_config(data)
        self.pair = "decoder_layers" in facts
        places = module.names(config, facts, heads=("text",) if self.pair else ("causal",))
        state = families.load_tensors(folder / "model.safetensors", places, config=config, facts=facts)
        self.encoder = self._stack(Encoder(config), state, "trunk.")
        trunk = self.encoder
        if self.pair:
            trunk = self._stack(Decoder(families.decoder_config(config, facts)), state, "decoder.")
        self.table = state[TOKENS]
        output, bias = state.get("lm_head.weight", self.table), state.get("lm_head.bias")
        self.writer = Writer(trunk, table=self.table, output=output, bias=bias)

    def _stack(self, stack: Encoder, state: dict[str, Tensor], base: str) -> Encoder:
        stack.load_state_dict({name.removeprefix(base): x for name, x in state.items() if name.startswith(base)})
        return stack.eval()

    def begin(self, each: int = 1):
        """What the loops are called with."""
        ids, mask = padded(BEGINNINGS)
        if not self.pair:
            beginnings, memory = BEGINNINGS, None
        else:
            places = torch.arange(ids.shape[1]).expand_as(ids)
            given = {"mask": mask, "positions": places, "segments": torch.zeros_like(places)}
            with torch.no_grad():
                memory = Memory(self.encoder(self.table[ids], **given), mask)
            beginnings = [[PAD]] * len(BEGINNINGS)
            ids, mask = padded(beginnings)
        logits, state = self.writer.begin(ids, mask, each=each, memory=memory)
        rooms = [TOKENS_MOST] * len(beginnings)
        return (self.writer.step, state, logits), {"beginnings": beginnings, "rooms": rooms, "ends": {END}}

    def expected(self, **how) -> list[list[int]]:
        """Theirs, one beginning at a time: no padding has a say."""
        found = []
        for beginning in BEGINNINGS:
            out = self.theirs.generate(torch.tensor([beginning]), max_new_tokens=TOKENS_MOST, do_sample=False, **how)
            row = out[0].tolist()[1 if self.pair else len(beginning) :]
            found.append(row[: row.index(END)] if END in row else row)
        return found

    def logits_of(self, text: list[int]) -> Tensor:
        """(T, V) log probabilities, by theirs."""
        with torch.no_grad():
            return self.theirs(torch.tensor([text])).logits[0].log_softmax(-1)


def padded(rows: list[list[int]]) -> tuple[Tensor, Tensor]:
    width = max(map(len, rows))
    ids = torch.tensor([row + [PAD] * (width - len(row)) for row in rows])
    return ids, torch.arange(width) < torch.tensor([len(row) for row in rows])[:, None]


@pytest.fixture(scope="module", params=KINDS)
def both(request, tmp_path_factory) -> Both:
    return Both(request.param, tmp_path_factory.mktemp("tiny"))


def write(both: Both, config: WriteConfig, **more) -> list[list[int]]:
    given, named = both.begin()
    texts: list[list[int]] = [[] for _ in BEGINNINGS]
    reasons: dict[int, str] = {}
    for told in one_by_one(*given, **named, config=config, **more):
        for one in told:
            assert one.row not in reasons, "a row that has ended is told no more"
            if one.reason != "end":
                texts[one.row].append(one.token)
            if one.reason:
                reasons[one.row] = one.reason
    assert len(reasons) == len(texts)
    for row, text in enumerate(texts):
        assert (len(text) == TOKENS_MOST) == (reasons[row] == "length") or reasons[row] == "stop"
    return texts


HOW = [
    ({}, {}),
    ({"repeat_penalty": 1.7}, {"repetition_penalty": 1.7}),
    ({"no_repeat": 2}, {"no_repeat_ngram_size": 2}),
    ({"no_repeat": 1, "repeat_penalty": 0.8}, {"no_repeat_ngram_size": 1, "repetition_penalty": 0.8}),
]


@pytest.mark.parametrize(("ours", "theirs"), HOW)
def test_the_likeliest_token_each_time_is_theirs(both, ours, theirs):
    assert write(both, WriteConfig(**ours)) == both.expected(num_beams=1, **theirs)


@pytest.mark.parametrize("penalty", [1.0, 0.0, 2.0, -1.0])
@pytest.mark.parametrize(("ours", "theirs"), HOW)
def test_beams_are_theirs(both, penalty, ours, theirs):
    config = WriteConfig(beams=4, length_penalty=penalty, **ours)
    given, named = both.begin(each=4)
    found = beam_search(*given, **named, config=config)
    assert [list(best[0].tokens) for best in found] == both.expected(num_beams=4, length_penalty=penalty, **theirs)
    for best in found:
        assert sorted(best, key=lambda one: -one.score) == best and len({one.tokens for one in best}) == len(best)


def test_a_beam_as_wide_as_all_texts_finds_the_best(tmp_path):
    """Every text of three tokens is scored by hand; with so many beams nothing can be missed."""
    both = Both("gpt2", tmp_path)
    config = WriteConfig(beams=VOCAB, length_penalty=0.0)
    given, named = both.begin(each=VOCAB)
    found = beam_search(*given, **{**named, "rooms": [2] * 3}, config=config)
    for beginning, best in zip(BEGINNINGS, found, strict=True):
        first = both.logits_of(beginning)[-1]
        scores = {(END,): float(first[END])}
        for token in range(VOCAB):
            if token != END:
                then = both.logits_of([*beginning, token])[-1]
                scores |= {(token, other): float(first[token] + then[other]) for other in range(VOCAB)}
        expected = max(scores, key=scores.get)
        assert list(best[0].tokens) == [token for token in expected if token != END]
        assert best[0].score == pytest.approx(scores[expected], abs=1e-4)


def test_rooms_and_stops_end_a_row(both):
    whole = write(both, WriteConfig())
    texts: list[list[int]] = [[] for _ in BEGINNINGS]

    def stops(row: int, token: int) -> bool:
        texts[row].append(token)
        return len(texts[row]) == 3 and row == 0

    found = write(both, WriteConfig(), stops=stops)
    assert found[0] == whole[0][:3] and found[1:] == whole[1:]
    given, named = both.begin()
    rows = [[], [], []]
    for told in one_by_one(*given, **{**named, "rooms": [1, 5, 2]}, config=WriteConfig()):
        for one in told:
            rows[one.row].append(one)
    assert [len(row) for row in rows] == [min(1, len(rows[0])), len(rows[1]), len(rows[2])]
    assert len(rows[0]) == 1 and len(rows[1]) <= 5 and len(rows[2]) <= 2
    assert all(row[-1].reason in ("length", "end") for row in rows)


def test_labels_are_scored_as_whole_texts(tmp_path):
    both = Both("llama", tmp_path)
    labels = [[4], [4, 8], [30, 2, 11, END]]
    given, _ = both.begin(each=len(labels))
    found = score_labels(*given, labels=labels)
    for row, (beginning, label) in itertools.product(range(3), zip([BEGINNINGS] * 3, range(3), strict=True)):
        text = [*beginning[row], *labels[label]]
        logs = both.logits_of(text)
        places = range(len(beginning[row]), len(text))
        assert found[row, label] == pytest.approx(
            sum(float(logs[place - 1, text[place]]) for place in places), abs=1e-4
        )
    assert np.all(found[:, 1] < found[:, 0])
