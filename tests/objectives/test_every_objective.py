"""What holds for every objective in the folder, whatever it teaches; and for a model that has some."""

import copy

import numpy as np
import pytest
import torch
from made_shards import ORDINARY, PIECES, made_folder
from torch.nn import functional as F

from zaowu import objectives
from zaowu.config import AttentionConfig, ModelConfig, PositionConfig, TrunkConfig
from zaowu.errors import UserError
from zaowu.inputs.text.embedder import TokenEmbedding
from zaowu.model import Model
from zaowu.objectives import CHOICES, PATCHES, Pieces, Recipe, Tally, make, parse
from zaowu.targets.category import Category
from zaowu.train.corpus import CorpusFeed
from zaowu.trunk import precision
from zaowu.trunk.transformer.feedforward import activate

LENGTH, DIM = 32, 16


class Ids:
    """An input of tokens that somebody else made."""

    def embedder(self, dim: int) -> TokenEmbedding:
        return TokenEmbedding(PIECES.count, dim, pad_id=PIECES.pad)


def made(text, *, targets=None, **how):
    """A model with the objectives of `text`, and the first batch of a feed."""
    chosen = make(parse(text), Recipe(pieces=PIECES, length=LENGTH, **how))
    trunk = TrunkConfig(
        dim=DIM, num_layers=2, ffn_dim=32, dropout=0.0, causal=text == "causal",
        positions=PositionConfig(max_positions=LENGTH), attention=AttentionConfig(num_heads=2),
    )  # fmt: skip
    model = Model({"text": Ids()}, targets or {}, ModelConfig(trunk=trunk), objectives=chosen)
    model.initialise(0)
    return model, CorpusFeed(made_folder(), chosen, batch_tokens=400).batch(0, 0)


def test_all_that_can_be_asked_for_are_files():
    asked = {name for text in (*CHOICES, PATCHES) for name in parse(text)}
    assert asked == set(objectives.kinds())


@pytest.mark.parametrize("text", ["nsp", "mlm+causal", "", "mlm+", "masked"])
def test_what_cannot_be_learned_is_refused(text):
    with pytest.raises(UserError, match=r"--objective: expected mlm\+nsp, mlm, mlm\+sop, causal or masked-patches"):
        parse(text)


@pytest.mark.parametrize("name", objectives.kinds())
def test_its_name_is_its_files(name):
    kind = objectives.find(name, where="test")
    assert kind.name == name and set(kind.primary) <= set(kind.metrics)
    scores = kind(Recipe(pieces=PIECES)).score(Tally(2.0, 1.0, 4.0))
    assert set(scores) == set(kind.metrics) and scores["loss"] == 0.5 and scores.get("accuracy", 0.25) == 0.25


@pytest.mark.parametrize("text", CHOICES)
def test_counts_are_known_from_the_batch_and_losses_add_up_over_parts(text):
    model, batch = made(text)
    whole, counts = model.loss(batch), model.counts(batch)
    assert whole.keys() == counts.keys() == set(parse(text))
    half = len(batch.mask) // 2
    parts = [batch.part(slice(0, half)), batch.part(slice(half, None))]
    for name, loss in whole.items():
        assert float(loss.count) == counts[name] > 0
        assert sum(model.counts(part)[name] for part in parts) == counts[name]
        torch.testing.assert_close(loss.sum, sum(model.loss(part)[name].sum for part in parts), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("text", CHOICES)
def test_rows_without_weight_or_answer_teach_nothing(text):
    model, batch = made(text)
    before = model.loss(batch.part(slice(1, None)))
    batch.weights[0] = 0
    for name, loss in model.loss(batch).items():
        torch.testing.assert_close(loss.sum, before[name].sum, rtol=1e-5, atol=1e-4)
        assert float(loss.count) == float(before[name].count)
    for mask in batch.target_mask.values():
        mask[:] = False
    for loss in model.loss(batch).values():
        assert float(loss.sum.detach()) == float(loss.count) == 0
    for own in batch.targets.values():
        own[:] = -1
    for loss in model.loss(batch).values():
        assert float(loss.sum.detach()) == float(loss.count) == 0


@pytest.mark.parametrize("text", CHOICES)
def test_every_weight_of_it_learns(text):
    model, batch = made(text)
    sum(loss.sum for loss in model.loss(batch).values()).backward()
    lacking = [name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert lacking == []


@pytest.mark.parametrize("text", CHOICES)
def test_judging_agrees_with_the_loss(text):
    model, batch = made(text)
    model.eval()
    losses, tallies = model.loss(batch), model.judge(batch)
    for name, tally in tallies.items():
        assert tally.loss == pytest.approx(float(losses[name].sum.detach()), rel=1e-5)
        assert tally.count == float(losses[name].count) and 0 <= tally.right <= tally.count


def test_names_of_the_weights():
    own = [name for name in made("mlm+nsp")[0].state_dict() if not name.startswith("trunk.")]
    assert sorted(own) == [
        "embedders.text.weight",
        *(f"masked.{name}" for name in ("bias", "dense.bias", "dense.weight", "norm.bias", "norm.weight")),
        *(f"{name}.{part}" for name in ("next_sentence", "pooler") for part in ("bias", "weight")),
    ]
    order = {name for name in made("mlm+sop")[0].state_dict() if not name.startswith("trunk.")}
    assert order == set(own)
    causal = [name for name in made("causal")[0].state_dict() if not name.startswith("trunk.")]
    assert causal == ["embedders.text.weight"]
    assert "lm_head.weight" in made("causal", tied=False)[0].state_dict()


def test_the_loss_of_masking_is_that_of_berts_head_written_out():
    model, batch = made("mlm")
    states, head = model.states(batch), model.masked
    turned = head.norm(activate(F.linear(states, head.dense.weight, head.dense.bias), kind="gelu"))
    logits = turned @ model.embedders["text"].weight.t() + head.bias
    answers = batch.targets["masked"]
    expected = F.cross_entropy(logits[answers >= 0], answers[answers >= 0], reduction="sum")
    torch.testing.assert_close(model.loss(batch)["masked"].sum, expected, rtol=1e-6, atol=1e-4)
    at = states[answers >= 0]
    torch.testing.assert_close(head.logits(at), logits[answers >= 0].detach(), rtol=1e-5, atol=1e-5)


def test_the_loss_of_causal_rows_is_that_of_shifted_tokens():
    model, batch = made("causal")
    logits = model.states(batch) @ model.embedders["text"].weight.t()
    ids = batch.inputs["text"]["ids"].long()
    same = batch.documents[:, 1:] == batch.documents[:, :-1]
    expected = F.cross_entropy(logits[:, :-1][same], ids[:, 1:][same], reduction="sum")
    torch.testing.assert_close(model.loss(batch)["causal"].sum, expected, rtol=1e-6, atol=1e-3)


def test_the_loss_of_pairs_reads_the_first_state_through_the_pooler():
    model, batch = made("mlm+nsp")
    pooled = torch.tanh(model.pooler(model.states(batch)[:, 0]))
    answers = batch.targets["next_sentence"]
    known = answers >= 0
    expected = F.cross_entropy(model.next_sentence(pooled)[known], answers[known], reduction="sum")
    torch.testing.assert_close(model.loss(batch)["next_sentence"].sum, expected)


@pytest.mark.parametrize("text", ["mlm", "causal"])
def test_no_token_sees_another_document_of_its_row(text):
    model, batch = made(text)
    model.eval()
    row = int(torch.nonzero((batch.documents == 1).any(1))[0])
    before = model.states(batch)[row]
    other = batch.documents[row] == 1
    ids = batch.inputs["text"]["ids"]
    ids[row, other] = ORDINARY + (ids[row, other] + 1) % (PIECES.count - ORDINARY)
    after = model.states(batch)[row]
    real = batch.mask[row]
    torch.testing.assert_close(after[real & ~other], before[real & ~other])
    assert (after[other] - before[other]).abs().max() > 1e-3


def test_a_tied_table_is_one_table_after_copying_and_loading():
    model, batch = made("mlm")
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for one in (model, twin):
            one.masked.norm.bias.fill_(1.0)
        twin.embedders["text"].weight[9] += 1.0
    assert not torch.allclose(model.loss(batch)["masked"].sum, twin.loss(batch)["masked"].sum)
    twin.load_state_dict(model.state_dict())
    torch.testing.assert_close(model.loss(batch)["masked"].sum, twin.loss(batch)["masked"].sum)


def test_an_objective_stands_beside_a_target():
    target = Category.fit(["a", "b"])
    model, batch = made("mlm+nsp", targets={"kind": target})
    rows = len(batch.mask)
    batch.targets["kind"] = torch.arange(rows) % 2
    batch.target_mask["kind"] = torch.ones(rows, dtype=torch.bool)
    losses = model.loss(batch)
    assert set(losses) == {"kind", "masked", "next_sentence"} == set(model.counts(batch))
    assert model.counts(batch)["kind"] == rows == float(losses["kind"].count)
    assert set(model(batch)) == {"kind"}
    mean = model.pool(model.states(batch), batch.mask)  # the pooler is for the objective alone
    torch.testing.assert_close(mean[0], model.states(batch)[0, batch.mask[0]].mean(0))


def test_low_precision_reaches_the_output_layer():
    model, batch = made("mlm+nsp")
    high = model.loss(batch)["masked"].sum.item()
    precision.use(model, torch.bfloat16)
    assert model.masked.output.dtype == model.masked.dense.dtype == torch.bfloat16
    low = model.loss(batch)["masked"]
    low.sum.backward()
    assert low.sum.item() == pytest.approx(high, rel=0.01) and low.sum.item() != high
    assert model.embedders["text"].weight.grad.dtype == torch.float32


def test_pieces_are_those_of_the_tokenizer(tiny_base):
    from zaowu.inputs.text.codec import Codec

    codec = Codec.from_folder(tiny_base)
    pieces = Pieces.of(codec)
    text = codec.tokenizer.id_to_token
    assert (text(pieces.start), text(pieces.between), text(pieces.mask)) == ("[CLS]", "[SEP]", "[MASK]")
    assert pieces.end == pieces.between and pieces.count == codec.num_pieces and pieces.pad == codec.pad_id
    assert {text(number) for number in pieces.special} == {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}


def test_a_tokenizer_without_the_piece_is_named():
    bare = Pieces(count=100, pad=0, start=None, between=None, mask=None, end=3, special=(0, 3))
    with pytest.raises(UserError, match="'cls_token'"):
        make(parse("mlm"), Recipe(pieces=bare))
    assert set(make(parse("causal"), Recipe(pieces=bare))) == {"causal"}
    with pytest.raises(UserError, match="'eos_token'"):
        make(parse("causal"), Recipe(pieces=Pieces(**{**vars(bare), "end": None})))


def test_a_recipe_that_cannot_be_is_refused():
    with pytest.raises(UserError, match="expected"):
        Recipe(pieces=PIECES, length=7)


def test_nothing_is_drawn_from_a_generator():
    np.random.seed(0)
    torch.manual_seed(0)
    states = np.random.get_state()[1].tolist(), torch.get_rng_state()
    for text in CHOICES:
        chosen = make(parse(text), Recipe(pieces=PIECES, length=LENGTH))
        CorpusFeed(made_folder(), chosen, batch_tokens=400).batch(1, 1)
    assert np.random.get_state()[1].tolist() == states[0] and torch.equal(torch.get_rng_state(), states[1])
