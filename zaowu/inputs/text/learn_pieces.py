"""Pieces learned from a corpus that comes as an iterator: WordPiece, byte-level BPE or Unigram, as a `Codec`."""

from __future__ import annotations

import json
import math
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import IO, TYPE_CHECKING, Any, Literal

from zaowu.errors import UserError, nearest
from zaowu.inputs.text.codec import MAX_TOKENS, Codec

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Kind = Literal["wordpiece", "bpe", "unigram"]
KINDS = ("wordpiece", "bpe", "unigram")
MASKED = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
END, PAD, UNKNOWN = "<|endoftext|>", "<|pad|>", "<|unk|>"
USUAL = 8000  # pieces, where nothing is said
COVERED = 0.9999  # share of the characters that get a piece of their own; rarer ones are unknown
MIN_FREQUENCY = 2
SPARE = 3  # pieces of Unigram's beside the characters: ▁, \n, and one that the library needs to stop at the size
# Megabytes of text that are worth it. Measured on Chinese without spaces, where nearly every run is a word of its own:
# 90 MB of memory and 2.5 s for each of BPE, 260 MB and 7 s of Unigram; WordPiece takes 20 MB in all, and 1 s each.
SAMPLE_MB = {"wordpiece": 16.0, "bpe": 8.0, "unigram": 4.0}


def learn(
    texts: Iterable[str],
    *,
    kind: Kind = "wordpiece",
    num_pieces: int | None = None,
    causal: bool = False,
    written: bool = False,
) -> Codec:
    """A vocabulary of at most `num_pieces` pieces, special ones included, that `texts` alone decide.

    None: 8,000, or half as many again as there are characters (traditional Chinese has more than 8,000).

    wordpiece: BERT's, lower case, every Han character a word. bpe: merges of bytes (GPT-2's), which can write every
    text. unigram: SentencePiece's. The last two need no spaces between words.
    causal: an end-of-text piece, padding, and nothing put around a text; otherwise BERT's special pieces and template.
    written: texts are written with these pieces as well, which must change no character; with `causal` it is so anyway.

    texts: read twice, the second time from a temporary file; how much that is, is the caller's choice. Equal texts
    give equal pieces, but for Unigram's, whose scores are sums that the library takes in any order.
    Raises UserError where `num_pieces` is less than special pieces and characters together, and for no text.
    """
    if kind not in KINDS:
        raise UserError(f"--pieces: expected wordpiece, bpe or unigram, got '{kind}'.{nearest(kind, KINDS)}")
    special = _special(kind, causal)
    keeps = causal or written
    tokenizer = _tokenizer(kind, causal, {}, keeps=keeps)
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="surrogatepass", newline="\n") as file:
        counts = _spooled(texts, file, tokenizer)
        if not counts:
            raise UserError("expected text to learn the pieces from, got none.")
        rare = {} if kind == "bpe" else _rare(counts)
        if num_pieces is None:
            num_pieces = (
                USUAL if kind == "bpe" else max(USUAL, 1000 * math.ceil(1.5 * (len(counts) - len(rare)) / 1000))
            )
        if kind == "wordpiece":
            vocab = _word_pieces(tokenizer, file, rare, num_pieces, special)
            tokenizer = _tokenizer(kind, causal, vocab, keeps=keeps)
        else:
            least = len(special) + (256 if kind == "bpe" else len(counts) - len(rare) + SPARE)
            _check_size(num_pieces, least, "bytes" if kind == "bpe" else "characters")
            tokenizer.train_from_iterator(_lines(file, rare), _trainer(kind, num_pieces, special))
    tokenizer.add_special_tokens(special)
    if not causal:
        _frame(tokenizer)
    where = "pieces learned from the corpus"
    codec = Codec(json.loads(tokenizer.to_str()), _settings(kind, causal), where=where)
    if codec.num_pieces > num_pieces:
        _check_size(num_pieces, codec.num_pieces, "characters")
    return codec


def _special(kind: str, causal: bool) -> list[str]:
    """The special pieces, which have the first numbers. One of bytes has nothing unknown; BERT's shape names it."""
    if not causal:
        return list(MASKED)
    return [END, PAD] if kind == "bpe" else [END, PAD, UNKNOWN]


def _settings(kind: str, causal: bool) -> dict[str, Any]:
    roles = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    names = dict(zip(roles, MASKED, strict=True))
    if causal:
        names = {"bos_token": END, "eos_token": END, "pad_token": PAD, "unk_token": END if kind == "bpe" else UNKNOWN}
    return {"tokenizer_class": "PreTrainedTokenizerFast", **names, "model_max_length": MAX_TOKENS}


def _tokenizer(kind: str, causal: bool, vocab: dict[str, int], *, keeps: bool) -> Tokenizer:
    """The library's tokenizer without pieces, or for WordPiece with those of `vocab`.

    keeps: what is written again is not changed (NFC); for reading alone, full-width forms and their like are joined
    (NFKC).
    """
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    forms = normalizers.NFC() if keeps else normalizers.NFKC()
    unknown = UNKNOWN if causal else "[UNK]"
    if kind == "wordpiece":
        tokenizer = Tokenizer(models.WordPiece(vocab, unk_token=unknown))
        tokenizer.normalizer = normalizers.Sequence([forms, normalizers.BertNormalizer()])
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.decoder = decoders.WordPiece()
    elif kind == "bpe":
        tokenizer = Tokenizer(models.BPE())
        tokenizer.normalizer = forms
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
    else:
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.normalizer = forms
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Metaspace(prepend_scheme="first"),
                pre_tokenizers.Split(Regex(r"\n"), "isolated"),
                pre_tokenizers.Punctuation("isolated"),
            ]
        )
        tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
    return tokenizer


def _trainer(kind: str, num_pieces: int, special: list[str]) -> Any:
    from tokenizers import pre_tokenizers, trainers

    if kind == "bpe":
        return trainers.BpeTrainer(
            vocab_size=num_pieces,
            special_tokens=special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            min_frequency=MIN_FREQUENCY,
            show_progress=False,
        )
    unknown = next(piece for piece in special if piece in ("[UNK]", UNKNOWN))
    return trainers.UnigramTrainer(
        vocab_size=num_pieces,
        special_tokens=special,
        unk_token=unknown,
        show_progress=False,
        # Against 0.75, 2 and 16: 1 % more tokens on Chinese, in 45 % of the time.
        shrinking_factor=0.5,
        n_sub_iterations=1,
        max_piece_length=16,
    )


def _word_pieces(
    tokenizer: Tokenizer, file: IO[str], rare: dict[int, str], num_pieces: int, special: list[str]
) -> dict[str, int]:
    """The vocabulary, learned twice: see `Codec.train` for why the letters inside words come first."""
    from tokenizers import trainers

    def learned(size: int, first: list[str]) -> dict[str, int]:
        trainer = trainers.WordPieceTrainer(
            vocab_size=size, special_tokens=first, show_progress=False, min_frequency=MIN_FREQUENCY
        )
        tokenizer.train_from_iterator(_lines(file, rare), trainer)
        return tokenizer.get_vocab(with_added_tokens=False)

    alphabet = learned(0, special)
    _check_size(num_pieces, len(alphabet), "characters")
    letters = sorted(piece for piece in alphabet if len(piece) == 3 and piece.startswith("##"))
    return learned(num_pieces, special + letters)


def _check_size(num_pieces: int, least: int, what: str) -> None:
    if num_pieces < least:
        raise UserError(
            f"--vocab-size: expected at least {least:,} for this text (its {what} and the special pieces alone), "
            f"got {num_pieces:,}. Give more, or --pieces bpe, which needs 261."
        )


def _spooled(texts: Iterable[str], file: IO[str], tokenizer: Tokenizer) -> Counter[str]:
    """Writes the texts to `file`, and counts the characters that the tokenizer sees in them."""
    counts: Counter[str] = Counter()
    for text in texts:
        file.write(text.rstrip("\n") + "\n")
        counts.update(tokenizer.normalizer.normalize_str(text))
    for character in [character for character in counts if character.isspace()]:
        del counts[character]
    return counts


def _rare(counts: Counter[str]) -> dict[int, str]:
    """The rarest characters, which together are less than 1 - COVERED of all, as a table that blanks them out."""
    left = int((1 - COVERED) * counts.total())
    found = {}
    for character, count in sorted(counts.items(), key=lambda pair: (pair[1], pair[0])):
        left -= count
        if left < 0:
            break
        found[ord(character)] = " "
    return found


def _lines(file: IO[str], rare: dict[int, str]) -> Iterator[str]:
    file.seek(0)
    for line in file:
        yield line.translate(rare) if rare else line


def _frame(tokenizer: Tokenizer) -> None:
    """BERT's template around one text or two, the second with segment 1."""
    from tokenizers import processors

    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(piece, tokenizer.token_to_id(piece)) for piece in ("[CLS]", "[SEP]")],
    )
