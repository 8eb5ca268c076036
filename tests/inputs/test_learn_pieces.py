"""Pieces learned from an iterator: every kind writes Chinese, is loadable elsewhere, and says when it is too small."""

import json

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from zaowu.errors import UserError
from zaowu.inputs.text import Input
from zaowu.inputs.text.codec import Codec
from zaowu.inputs.text.learn_pieces import KINDS, MASKED, learn

TEXTS = ["今天天气很好，我们去公园看花。", "Pretraining learns from raw text.", "我们今天学习：天气很好！"] * 8
LINES = ["我们今天去公园。", "Pretraining on raw text, too", "[SEP] 龘 🙂\n下一行"]


def ids(codec: Codec, text: str) -> list[int]:
    return codec.tokenizer.encode(text).ids


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("causal", [False, True])
def test_every_kind_has_its_special_pieces_first(kind: str, causal: bool) -> None:
    codec = learn(iter(TEXTS), kind=kind, num_pieces=400, causal=causal)
    pieces = [codec.tokenizer.id_to_token(number) for number in range(5)]
    if causal:
        assert pieces[:2] == ["<|endoftext|>", "<|pad|>"]
        assert codec.piece("eos_token") == codec.piece("bos_token") == 0 and codec.pad_id == 1
        assert codec.num_special == 0
        with pytest.raises(UserError, match="mask_token"):
            codec.piece("mask_token")
    else:
        assert pieces == list(MASKED)
        assert ids(codec, "天")[0] == codec.piece("cls_token") and ids(codec, "天")[-1] == codec.piece("sep_token")
        assert codec.tokenizer.encode("天", "气").type_ids[-2:] == [1, 1]
    assert codec.num_pieces <= 400


@pytest.mark.parametrize("kind", KINDS)
def test_chinese_without_spaces(kind: str) -> None:
    codec = learn(TEXTS, kind=kind, num_pieces=400)
    found = codec.tokenizer.encode("我们今天去公园", add_special_tokens=False)
    assert codec.unknown_id not in found.ids
    if kind == "wordpiece":
        assert found.tokens == list("我们今天去公园")
    else:
        assert len(found.ids) <= 6  # pieces of several characters


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_a_causal_codec_gives_the_text_back(kind: str) -> None:
    codec = learn(TEXTS, kind=kind, num_pieces=400, causal=True)
    for text in ("我们今天去公园看花。", "raw text learns.\n我们", "天气，很好！"):
        assert codec.tokenizer.decode(ids(codec, text)) == text
    if kind == "bpe":
        strange = "龘🙂\t  x"
        assert codec.tokenizer.decode(ids(codec, strange)) == strange
    else:
        assert codec.unknown_id in ids(codec, "龘")


@pytest.mark.parametrize("kind", ["wordpiece", "bpe"])
@pytest.mark.parametrize("causal", [False, True])
def test_equal_texts_give_equal_pieces(kind: str, causal: bool) -> None:
    prints = {learn(iter(TEXTS), kind=kind, num_pieces=330, causal=causal).fingerprint for _ in range(4)}
    assert len(prints) == 1
    assert learn(TEXTS[:4], kind=kind, num_pieces=330, causal=causal).fingerprint not in prints


def test_word_pieces_are_those_of_the_other_way() -> None:
    assert (
        learn(iter(TEXTS), num_pieces=150).tokenizer.get_vocab()
        == Codec.train(TEXTS, num_pieces=150).tokenizer.get_vocab()
    )


@pytest.mark.parametrize(("kind", "least"), [("wordpiece", "51"), ("bpe", "261"), ("unigram", "42")])
def test_a_vocabulary_that_is_too_small_is_one_sentence(kind: str, least: str) -> None:
    with pytest.raises(UserError, match=rf"--vocab-size: expected at least {least} "):
        learn(TEXTS, kind=kind, num_pieces=30)


@pytest.mark.parametrize("kind", KINDS)
def test_the_size_that_the_sentence_names_will_do(kind: str) -> None:
    with pytest.raises(UserError) as error:
        learn(TEXTS, kind=kind, num_pieces=30)
    least = int(str(error.value).split("at least ")[1].split(" ")[0])
    assert learn(TEXTS, kind=kind, num_pieces=least).num_pieces <= least


def test_rare_characters_do_not_fill_the_vocabulary() -> None:
    rare = [chr(0x3400 + number) for number in range(500)]
    codec = learn(["天气很好" * 500] * 300 + rare[:50], num_pieces=60)
    assert codec.unknown_id in ids(codec, rare[3]) and codec.unknown_id not in ids(codec, "天气")


def test_no_text_and_no_kind() -> None:
    with pytest.raises(UserError, match="expected text"):
        learn([" ", ""])
    with pytest.raises(UserError, match="Did you mean 'unigram'"):
        learn(TEXTS, kind="unigrams")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("causal", [False, True])
def test_saved_files_give_equal_ids_in_the_other_library(tmp_path, kind: str, causal: bool) -> None:
    transformers = pytest.importorskip("transformers")
    codec = learn(TEXTS, kind=kind, num_pieces=400, causal=causal)
    codec.save(tmp_path)
    again = Codec.from_folder(tmp_path)
    assert again.fingerprint == codec.fingerprint
    theirs = transformers.PreTrainedTokenizerFast.from_pretrained(tmp_path)
    for text in LINES:
        assert theirs(text)["input_ids"] == ids(again, text) == ids(codec, text)
    assert theirs.pad_token_id == codec.pad_id
    assert theirs.eos_token_id == (0 if causal else None)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("causal", [False, True])
def test_inputs_are_made_with_every_kind(kind: str, causal: bool) -> None:
    source = Input(["text"], learn(TEXTS, kind=kind, num_pieces=400, causal=causal), max_tokens=8)
    items = source.features(["我们今天学习：天气很好！Pretraining" * 2, "天"])
    assert max(item.length for item in items) <= 8 and len(items) > 2
    assert source.unknown_shares(items, 2).tolist() == [0, 0]


def byte_level(**settings: str) -> Codec:
    """As GPT-2 is published: merges of bytes, no padding."""
    vocab = {piece: number for number, piece in enumerate([*sorted(pre_tokenizers.ByteLevel.alphabet()), "<|end|>"])}
    tokenizer = Tokenizer(models.BPE(vocab, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|end|>"])
    return Codec(json.loads(tokenizer.to_str()), dict(settings), where="gpt2/tokenizer.json")


def test_a_published_decoder_without_padding_can_be_used() -> None:
    codec = byte_level(eos_token="<|end|>", bos_token="<|end|>")
    assert codec.pad_id == codec.piece("eos_token") == 256
    assert codec.unknown_id == -1 and codec.unknown_id not in ids(codec, "龘🙂")
    assert [own.tolist() for own in codec.frame()] == [[], []]
    assert codec.published()["pad_token"] == "<|end|>"
    assert byte_level(eos_token="<|end|>", unk_token="<|end|>").unknown_id == 256


def test_other_tokenizers_still_need_their_pieces() -> None:
    with pytest.raises(UserError, match="pad_token"):
        byte_level()
    tokenizer = Tokenizer(models.WordPiece({"[PAD]": 0, "a": 1}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.model.unk_token = "a"
    with pytest.raises(UserError, match="unk_token"):
        Codec(json.loads(tokenizer.to_str()), {"pad_token": "[PAD]"}, where="x")
