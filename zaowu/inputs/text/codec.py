"""Text <-> token ids: one `Codec`, built from the tokenizer files of a base, for inputs and answers alike."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zaowu.errors import UserError, shorten
from zaowu.inputs.text.trim import trim
from zaowu.inputs.text.windows import without_space

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FILES = ("tokenizer.json", "tokenizer_config.json")
CHAT_FILE = "chat_template.jinja"
MAX_TOKENS = 512  # where the files of a base say nothing
PROBE = "a 字 \u0378"  # a word, a Chinese character, and one that no vocabulary has
CHUNK = 2000  # texts tokenised at once: the library works on them in parallel
_HAN = "[\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef]"  # with the signs of Chinese and Japanese texts
JOINED = f"(?<={_HAN}) +| +(?={_HAN})"
ROLES = ("unk_token", "pad_token", "cls_token", "sep_token", "bos_token", "eos_token", "mask_token")


class Codec:
    """A tokenizer with the names of its special pieces.

    Everything that is done to a text (normalising included) is inside the tokenizer files, so that any
    library that reads them gives the same ids. pad_id, unknown_id: ints; unknown_id is -1 where every text can be
    written. max_tokens: the longest row that the base was trained on, special pieces included.
    """

    def __init__(self, spec: dict[str, Any], settings: dict[str, Any], *, where: str) -> None:
        from tokenizers import Tokenizer

        self.spec, self.settings, self.where = spec, settings, where
        try:
            self.tokenizer = Tokenizer.from_str(json.dumps(spec))
            tried = self.tokenizer.encode(PROBE, PROBE).ids
        except Exception as error:  # the library raises nothing narrower
            raise UserError(f"{where}: the tokenizer file cannot be used ({shorten(error, 200)}).") from error
        if self.tokenizer.decoder is None and (spec.get("model") or {}).get("type") == "WordPiece":
            from tokenizers import decoders

            self.tokenizer.decoder = decoders.WordPiece()
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        self.special = {role: settings[role] for role in ROLES if isinstance(settings.get(role), str)}
        if "pad_token" not in self.special and "eos_token" in self.special:
            # Decoders are published without one. Padding is masked wherever it stands, so any piece will do.
            self.special["pad_token"] = self.special["eos_token"]
        self.pad_id = self.piece("pad_token")
        self.unknown_id = self._unknown()
        self._num_pieces = 1 + max(self.tokenizer.get_vocab(with_added_tokens=True).values())
        if max(tried, default=0) >= self._num_pieces:
            raise UserError(f"{where}: the tokenizer file gives a special piece the number {max(tried)}, beyond all.")
        self.num_special = self.tokenizer.num_special_tokens_to_add(False)

    @classmethod
    def from_folder(cls, folder: Path) -> Codec:
        """Reads `tokenizer.json` and `tokenizer_config.json`. Raises UserError for a missing or broken one."""
        data = []
        for name in FILES:
            try:
                data.append(json.loads((folder / name).read_text("utf-8")))
            except FileNotFoundError:
                raise UserError(f"{folder}: expected a file '{name}', found none.") from None
            except (ValueError, OSError, RecursionError) as error:
                raise UserError(f"{folder / name}: cannot be read as JSON ({error}).") from None
            if not isinstance(data[-1], dict):
                raise UserError(f"{folder / name}: expected an object, got {type(data[-1]).__name__}.")
        spec, settings = data
        if (folder / CHAT_FILE).is_file():  # where newer libraries keep it
            try:
                settings["chat_template"] = (folder / CHAT_FILE).read_text("utf-8")
            except (OSError, ValueError) as error:
                raise UserError(f"{folder / CHAT_FILE}: cannot be read ({error}).") from None
        for role in ROLES:  # older files wrap the piece in an object
            if isinstance(settings.get(role), dict):
                settings[role] = settings[role].get("content")
        return cls(spec, settings, where=str(folder / FILES[0]))

    def save(self, folder: Path) -> None:
        (folder / FILES[0]).write_text(json.dumps(self.spec, ensure_ascii=False), "utf-8")
        (folder / FILES[1]).write_text(json.dumps(self.published(), ensure_ascii=False, indent=2), "utf-8")

    def published(self) -> dict[str, Any]:
        """`tokenizer_config.json` for other libraries: only what tokenizer.json does not say itself.

        A class of the base's own would put its normalizer in the place of the one in the file, and the base's list
        of added pieces has ids from before trimming. No segments: our trunk gives both columns the first one.
        """
        return {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_input_names": ["input_ids", "attention_mask"],
            "clean_up_tokenization_spaces": False,
            "model_max_length": self.settings.get("model_max_length", MAX_TOKENS),
            **self.special,
            **({"chat_template": self.settings["chat_template"]} if "chat_template" in self.settings else {}),
        }

    def piece(self, role: str) -> int:
        """The number of the special piece for `role`, such as "mask_token". Raises UserError where there is none."""
        number = self.tokenizer.token_to_id(self.special.get(role, ""))
        if number is None:
            raise UserError(f"{self.where}: the tokenizer names no '{role}' that is one of its pieces.")
        return int(number)

    def end_pieces(self) -> tuple[int, int]:
        """The pieces before and behind a text that is written. Raises UserError where either is missing."""
        first, last = (
            next((role for role in roles if role in self.special), roles[0])
            for roles in (("bos_token", "cls_token", "eos_token"), ("eos_token", "sep_token"))
        )
        return self.piece(first), self.piece(last)

    @property
    def special_ids(self) -> list[int]:
        """The numbers of all special pieces."""
        added = (entry["id"] for entry in self.spec.get("added_tokens", ()) if entry.get("special"))
        found = (self.tokenizer.token_to_id(piece) for piece in self.special.values())
        return sorted({*added, *(number for number in found if number is not None)})

    def bare(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Token ids of each text without special pieces, (T,) int32."""
        found: list[np.ndarray] = []
        for start in range(0, len(texts), CHUNK):
            part = self.tokenizer.encode_batch_fast(list(texts[start : start + CHUNK]), add_special_tokens=False)
            found += [np.asarray(encoding.ids, np.int32) for encoding in part]
        return found

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids that were written; special pieces are left out.

        Where every Chinese character is a word of its own, the spaces that a word has before it are none of the text.
        """
        text = str(self.tokenizer.decode(list(ids), skip_special_tokens=True))
        return re.sub(JOINED, "", text) if (self.spec.get("model") or {}).get("type") == "WordPiece" else text

    def shown(self, ids: Sequence[int]) -> list[str]:
        """Each piece as a person sees it: a special one by its name, a part of a character as a dot."""
        special = set(self.special_ids)
        found = []
        for number in ids:
            words = str(self.tokenizer.id_to_token(number) if number in special else self.tokenizer.decode([number]))
            found.append("·" if "\ufffd" in words else words)
        return found

    def _unknown(self) -> int:
        """-1, which no text holds, for a tokenizer that can write every text: one of bytes needs no such piece."""
        if "unk_token" not in self.special and _covers_bytes(self.spec):
            return -1
        return self.piece("unk_token")

    @property
    def fingerprint(self) -> str:
        """sha256 of all that makes ids: the tokenizer file and the names of the special pieces."""
        content = json.dumps([self.spec, self.special], ensure_ascii=True, sort_keys=True)
        return sha256(content.encode()).hexdigest()

    @property
    def num_pieces(self) -> int:
        return self._num_pieces

    def encode(self, texts: Sequence[str], *columns: Sequence[str]) -> Iterator[np.ndarray]:
        """Token ids of each text, (T,) int32 with the special pieces; `columns` are further columns of the record.

        Two columns stand in the base's own template for pairs. Its template knows no third one: that and all further
        ones follow the second, each behind the pieces that the template puts between two.
        """
        second, rest = columns[:1], columns[1:]
        between, after = (self.between(), self.frame()[1]) if rest else (np.empty(0, np.int32),) * 2
        for start in range(0, len(texts), CHUNK):
            part = slice(start, start + CHUNK)
            rows: list[Any] = list(zip(texts[part], second[0][part], strict=True)) if second else list(texts[part])
            more = [self.tokenizer.encode_batch_fast(list(own[part]), add_special_tokens=False) for own in rest]
            for place, encoding in enumerate(self.tokenizer.encode_batch_fast(rows)):
                ids = np.asarray(encoding.ids, np.int32)
                if more:
                    tails = [np.r_[between, np.asarray(own[place].ids, np.int32)] for own in more]
                    ids = np.concatenate([ids[: len(ids) - len(after)], *tails, after])
                yield ids

    def located(self, texts: Sequence[str]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Token ids of each text without special pieces, (T,) int32, and the characters that each stands for.

        Those are (T, 2) int32: the first one and the one behind the last, white space at the ends left out. Where a
        character is several tokens, each of them stands for it.
        """
        for start in range(0, len(texts), CHUNK):
            part = list(texts[start : start + CHUNK])
            for text, encoding in zip(part, self.tokenizer.encode_batch(part, add_special_tokens=False), strict=True):
                places = np.asarray(encoding.offsets, np.int32).reshape(-1, 2)
                yield np.asarray(encoding.ids, np.int32), without_space(text, places)

    def between(self) -> np.ndarray:
        """The special pieces that the template puts between two columns."""
        one, other = (self.tokenizer.encode(text, add_special_tokens=False).ids for text in ("a", "b"))
        before, after = self.frame()
        pair = self.tokenizer.encode("a", "b").ids
        return np.asarray(pair[len(before) + len(one) : len(pair) - len(after) - len(other)], np.int32)

    def frame(self) -> tuple[np.ndarray, np.ndarray]:
        """The special pieces before and after a text, for cutting a long one into windows."""
        whole = self.tokenizer.encode("a").ids
        bare = self.tokenizer.encode("a", add_special_tokens=False).ids
        start = next((i for i in range(len(whole)) if whole[i : i + len(bare)] == bare), None)
        if start is None:
            raise UserError(f"{self.where}: the tokenizer file changes a text's pieces when it adds the special ones.")
        return np.asarray(whole[:start], np.int32), np.asarray(whole[start + len(bare) :], np.int32)

    def trimmed(self, texts: Sequence[str], *, tight: bool = False) -> tuple[Codec, np.ndarray | None]:
        """A codec with only the pieces that `texts` and their scripts need, and the old ids it keeps, in order.

        None instead of ids: nothing was cut away. tight: as few as can still spell any word (`trim`).
        """
        used = np.unique(np.concatenate([np.empty(0, np.int32), *self.encode(texts)]))
        found = trim(self.spec, texts, used=used, special=set(self.special.values()), tight=tight)
        if found is None:
            return self, None
        spec, kept = found
        return Codec(spec, self.settings, where=self.where), kept

    @classmethod
    def train(cls, texts: Sequence[str], *, num_pieces: int = 8000) -> Codec:
        """Pieces learned from `texts` alone: WordPiece, every Chinese character a word of its own (as BERT)."""
        from tokenizers import processors, trainers

        tokenizer = _word_pieces({})
        special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]

        def learn(size: int, first: list[str]) -> dict[str, int]:
            trainer = trainers.WordPieceTrainer(
                vocab_size=size, special_tokens=first, show_progress=False, min_frequency=2
            )
            tokenizer.train_from_iterator(texts, trainer, length=len(texts))
            return tokenizer.get_vocab(with_added_tokens=False)

        # The library numbers the letters inside words by chance, and breaks ties between merges by those numbers.
        # Learned a second time with these letters in a fixed order, equal texts give equal pieces.
        letters = sorted(piece for piece in learn(0, special) if len(piece) == 3 and piece.startswith("##"))
        vocab = learn(num_pieces, special + letters)
        tokenizer = _word_pieces(vocab)
        tokenizer.add_special_tokens(special)
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
        )
        settings = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "pad_token": "[PAD]",
            "unk_token": "[UNK]",
            "cls_token": "[CLS]",
            "sep_token": "[SEP]",
            "mask_token": "[MASK]",
            "model_max_length": MAX_TOKENS,
        }
        return cls(json.loads(tokenizer.to_str()), settings, where="pieces learned from the training texts")


def _covers_bytes(spec: dict[str, Any]) -> bool:
    """Whether the tokenizer file spells what it does not know by its bytes."""
    steps = spec.get("pre_tokenizer") or {}
    parts = steps.get("pretokenizers") or [steps]
    byte_level = any(isinstance(part, dict) and part.get("type") == "ByteLevel" for part in parts)
    return byte_level or (spec.get("model") or {}).get("byte_fallback") is True


def _word_pieces(vocab: dict[str, int]) -> Tokenizer:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.BertNormalizer()])
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer
