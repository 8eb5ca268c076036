"""The half that writes, by itself: losses, padding, the cache, and how it begins as the half that reads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from zaowu import targets
from zaowu.batching.batch import padded_answers
from zaowu.config import AttentionConfig, PositionConfig, TrunkConfig, WriteConfig
from zaowu.evaluate.evaluate import Evaluation, compare, evaluate
from zaowu.evaluate.finder import Finder
from zaowu.evaluate.write import Pen
from zaowu.inputs.text import codec_of
from zaowu.inputs.text.embedder import TokenEmbedding
from zaowu.targets.text import Text, Written
from zaowu.trunk.transformer.encoder import Encoder
from zaowu.trunk.vocabulary import Vocabulary

LABELS = ["ab c", "你好，世界", "d", "abc abc abc"] * 3
TRUNK = TrunkConfig(
    dim=32,
    num_layers=2,
    ffn_dim=64,
    num_segments=2,
    dropout=0.0,
    positions=PositionConfig(max_positions=40),
    attention=AttentionConfig(num_heads=2),
)


@pytest.fixture(scope="module")
def codec():
    return codec_of(LABELS, 300)


@pytest.fixture
def target(codec):
    found = Text.fit(LABELS, label_smoothing=0.0)
    return found.shaped(codec, LABELS, TRUNK, layers=2, write=WriteConfig(beams=3))


@pytest.fixture
def head(target, codec):
    torch.manual_seed(0)
    table = TokenEmbedding(codec.num_pieces, TRUNK.dim, pad_id=codec.pad_id)
    table.initialise(torch.Generator().manual_seed(1))
    found = target.head(TRUNK, table).eval()
    with torch.no_grad():  # far enough from even that the likeliest piece is no matter of rounding
        found.bias.normal_(0, 1, generator=torch.Generator().manual_seed(2))
        table.weight.mul_(30)
    return found


def sources(rows, length=7, *, seed=0):
    torch.manual_seed(seed)
    states = torch.randn(rows, length, TRUNK.dim)
    mask = torch.arange(length) < torch.tensor([length, 3, 5, 1] * rows)[:rows, None]
    return states, mask


def told(target, labels):
    return torch.from_numpy(padded_answers(target.answer_tokens(list(target.features(labels)))).astype(np.int64))


def test_answers_end_with_their_end_piece_and_are_cut_where_there_is_no_more_room(target, codec):
    _, end = codec.end_pieces()
    rows = target.answer_tokens(["ab", None, "x" * 100])
    assert rows[0].tolist() == [*codec.bare(["ab"])[0], end]
    assert len(rows[1]) == 0 and len(rows[2]) == target.most == 40 and rows[2][-1] != end
    assert target.longest == 1 + max(map(len, codec.bare(LABELS)))
    assert target.longest < target.room < target.most


def test_what_it_writes_is_read_back_as_it_was(codec):
    texts = ["ab c", "你好，世界 A", "ＡＢＣ “quoted” …", "naïve café 🙂"]
    assert [codec.decode(row) for row in codec.bare(texts)] == texts


def test_the_loss_is_torchs_of_the_next_piece(target, head):
    states, mask = sources(4)
    answers = told(target, LABELS[:4])
    found = head(states, mask, answers)
    weights = torch.tensor([1.0, 0.5, 2.0, 0.0])
    logits = F.linear(found.states, head.tokens.weight, head.bias)
    for smoothing in (0.0, 0.1):
        each = F.cross_entropy(logits, found.labels, reduction="none", label_smoothing=smoothing)
        torch.testing.assert_close(found.loss(weights, smoothing=smoothing), (each * weights[found.rows]).sum())
    sums = found.judge()
    assert sums[:, 1].tolist() == (answers >= 0).sum(1).tolist()
    each = F.cross_entropy(logits, found.labels, reduction="none").detach()
    torch.testing.assert_close(sums[:, 0], torch.zeros(4).index_add_(0, found.rows, each))
    assert target.told(sums.double().numpy())["log_loss"] == pytest.approx(float(each.mean()))
    assert target.count(answers, weights) == pytest.approx(float(((answers >= 0).sum(1) * weights).sum()))


def test_smoothing_has_torchs_gradients():
    torch.manual_seed(0)
    states, table, bias = (torch.randn(*shape, dtype=torch.float64) for shape in ((5, 6), (9, 6), (9,)))
    labels, weights = torch.tensor([0, 3, 8, 3, 1]), torch.tensor([1.0, 2.0, 0.5, 0.0, 1.0], dtype=torch.float64)
    ours = [x.clone().requires_grad_() for x in (states, table, bias)]
    theirs = [x.clone().requires_grad_() for x in (states, table, bias)]
    Vocabulary()(ours[0], ours[1], labels, weights=weights, bias=ours[2], smoothing=0.2).backward()
    each = F.cross_entropy(F.linear(*theirs), labels, reduction="none", label_smoothing=0.2)
    (each * weights).sum().backward()
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_padding_on_either_side_changes_nothing(target, head):
    states, mask = sources(2)
    answers = told(target, [LABELS[1], LABELS[2]])
    alone = [head(states[[k]], mask[[k]], answers[[k]][:, answers[k] >= 0]).judge()[0] for k in (0, 1)]
    wide = F.pad(states, (0, 0, 0, 3), value=9.0), F.pad(mask, (0, 3)), F.pad(answers, (0, 4), value=-1)
    torch.testing.assert_close(head(*wide).judge(), torch.stack(alone))


def test_no_piece_is_told_from_itself_or_from_what_comes_behind(target, head):
    states, mask = sources(1)
    answers = told(target, [LABELS[3]])
    other = answers.clone()
    other[0, 4:] = (other[0, 4:] + 1) % 200
    one, changed = (head(states, mask, given).states for given in (answers, other))
    torch.testing.assert_close(one[:5], changed[:5])
    assert not torch.allclose(one[5:], changed[5:])


@pytest.mark.parametrize("beams", [1, 4])
def test_what_is_written_has_the_score_that_it_is_told_to_have(target, head, beams):
    pen = Pen(replace(target, write=WriteConfig(beams=beams)), head)
    states, mask = sources(4)
    found = pen(states, mask, list("abcd"))
    assert [len(own) for own in found] == [beams] * 4 and [own[0].source for own in found] == list("abcd")
    assert all(own[0].tokens <= target.room for own in found)
    if beams > 1:
        assert all(own[0].score >= own[-1].score for own in found)
        return
    # The likeliest piece each time, by passes over all that was written so far.
    for row in range(4):
        pieces: list[int] = []
        while len(pieces) < target.room:
            answers = torch.tensor([[*pieces, 0]])
            logits = F.linear(head(states[[row]], mask[[row]], answers).states[-1], head.tokens.weight, head.bias)
            logits[head.unwritten] = -1e4
            pieces.append(int(logits.argmax()))
            if pieces[-1] == pen.end:
                break
        ended = pieces[-1] == pen.end
        assert found[row][0].text == pen._text(pieces[:-1] if ended else pieces)
        assert (found[row][0].tokens, found[row][0].cut) == (len(pieces), not ended)
        sums = head(states[[row]], mask[[row]], torch.tensor([pieces])).judge()[0]
        assert found[row][0].score == pytest.approx(float(-sums[0] / sums[1]), abs=1e-4)


def test_attention_is_that_of_the_last_block(target, head):
    states, mask = sources(2)
    answers = told(target, [LABELS[0], LABELS[2]])
    found = head.attention(states, mask, answers)
    assert found.shape == (2, answers.shape[1], 7)
    real = answers >= 0
    torch.testing.assert_close(found[real].sum(-1), torch.ones(int(real.sum())))
    assert (found[1, :, 3:] == 0).all()  # padding of the source
    with torch.no_grad():  # no matter what the last block looks at, all that it sees is the same
        head.decoder.blocks[-1].cross.query.weight.zero_()
        head.decoder.blocks[-1].cross.query.bias.zero_()
    even = head.attention(states, mask, answers)
    torch.testing.assert_close(even[0][real[0]], torch.full((int(real[0].sum()), 7), 1 / 7))


def test_writing_always_ends(target, head):
    with torch.no_grad():
        head.bias[Pen(target, head).end] = -1e4
    found = Pen(target, head)(*sources(3), ["", "", ""])
    assert all(own[0].cut and own[0].tokens == target.room for own in found)


def test_it_can_begin_as_the_half_that_reads(target, codec):
    torch.manual_seed(3)
    trunk = Encoder(TRUNK)
    for weight in trunk.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    head = target.head(TRUNK, TokenEmbedding(codec.num_pieces, TRUNK.dim, pad_id=0))
    head.begin_as(trunk)
    own = head.decoder
    for ours, theirs in zip(own.blocks, trunk.blocks, strict=True):
        for part in ("attention", "attention_norm", "ffn", "ffn_norm"):
            for one, other in zip(getattr(ours, part).parameters(), getattr(theirs, part).parameters(), strict=True):
                assert torch.equal(one, other)
    # All tokens of a text have the first segment's vector, which the places take over.
    torch.testing.assert_close(own.positions.weight, trunk.positions.weight + trunk.segments.weight[0])


def test_without_a_text_that_is_read_it_has_a_table_of_its_own(target, codec):
    assert target.head(TRUNK, None).table.weight.shape == (codec.num_pieces, TRUNK.dim)
    shared = TokenEmbedding(codec.num_pieces, TRUNK.dim, pad_id=0)
    head = target.head(TRUNK, shared)
    assert head.tokens is shared and shared.tied and not any("table" in name for name in head.state_dict())


def said(texts, *, score=-0.5):
    found = np.empty(len(texts), object)
    found[:] = [[Written(text, score, 3, False, f"s{place}")] for place, text in enumerate(texts)]
    return found


def test_what_is_kept_survives_a_file_and_is_judged(target):
    kept = said([*LABELS[:-1], "wrong"])
    assert targets.from_tensor(targets.as_tensor(kept), target).tolist() == kept.tolist()
    prediction, worse = target.decode(kept), target.decode(said(["b"] * len(LABELS)))
    found = evaluate(target, prediction, LABELS)
    assert set(found.scores) == set(target.metrics) and found.scores["exact_match"].value == pytest.approx(11 / 12)
    assert Evaluation.from_plain(found.to_plain(), where="m") == found
    lead = compare(target, prediction, worse, LABELS)
    assert lead["chrf"].value > 0.5 and lead["chrf"].low > 0
    assert [mistake.predicted for mistake in target.mistakes(prediction, LABELS, limit=5)] == ["wrong"]
    assert target.mistakes(target.decode(said([""] * 12)), LABELS, limit=1)[0].predicted == "(nothing)"
    assert target.per_record(prediction, LABELS).shape == (12,)


def test_its_predictions_can_be_picked_put_together_and_shown(target):
    prediction = target.decode(said(LABELS))
    first, second = prediction.take(np.arange(5)), prediction.take(np.arange(12) >= 5)
    whole = targets.joined([first, second])
    assert whole.plain(top=1) == prediction.plain(top=1) and whole.agrees(prediction).all()
    assert prediction.plain(top=1)[0] == {"answer": "ab c", "confidence": np.exp(-0.5), "log_probability": -0.5}
    assert list(prediction.columns("x", top=2)) == ["predicted_x", "confidence"]
    assert target.merge([]) == []
    nothing = np.empty(1, object)
    nothing[0] = target.merge([])
    assert target.decode(nothing).texts == [""] and target.decode(nothing).shown(top=2) == [[("(nothing)", None)]]


def test_its_cheap_methods_answer_and_are_saved(target):
    texts = {"source": [label[::-1] for label in LABELS]}
    finder = Finder.fit(texts, target, [*LABELS[:-1], None])
    found = finder.decode(finder.outputs(texts))
    assert set(found) == {"copy_source", "lead_sentence", "nearest_answer"}
    assert found["copy_source"].texts == texts["source"]
    assert found["nearest_answer"].texts == LABELS
    assert Finder.from_state(finder.state(), where="baseline.json") == finder
    pictures = Finder.fit({}, target, LABELS)
    ((name, said_of_all),) = pictures.decode(pictures.outputs({"photo": [b"", b""]})).items()
    assert name == "common_answer" and said_of_all.texts == ["ab c"] * 2 and said_of_all.sources is None
    assert Finder.from_state(pictures.state(), where="baseline.json") == pictures
