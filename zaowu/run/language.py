"""A folder with a model that writes, opened: a causal base of ours, or a published one of a family that we know.

What it needs: config.json, model.safetensors and tokenizer.json, as `zaowu pretrain --objective causal` and others
write them. An encoder-decoder reads the prompt with its encoder, and writes an answer to it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zaowu.config import WriteConfig
from zaowu.decode import Reason, Written
from zaowu.decode.labels import score_labels
from zaowu.decode.search import beam_search, one_by_one
from zaowu.decode.tell import Teller
from zaowu.errors import UserError, shorten
from zaowu.inputs.text.codec import FILES, Codec
from zaowu.learn import Base, read_base
from zaowu.run import Run
from zaowu.trunk import families, precision
from zaowu.trunk.families.tensors import TOKENS
from zaowu.trunk.transformer.decoder.cross import Memory
from zaowu.trunk.transformer.decoder.stack import Decoder
from zaowu.trunk.transformer.decoder.writer import Writer
from zaowu.trunk.transformer.encoder import Encoder

BATCH = 16  # prompts that are gone on from at once


@dataclass(frozen=True)
class Text:
    """What was written behind one prompt. tokens: how many. score: of beams."""

    prompt: str
    text: str
    tokens: int
    reason: Reason
    score: float | None = None


@dataclass(frozen=True)
class Piece:
    """The next piece of the text of one row; reason: it is the last one."""

    row: int
    text: str
    reason: Reason | None


class Language:
    """A model that writes, with its pieces. encoder: of an encoder-decoder, else None. context: most tokens of a row.

    ends: pieces that end a text. start: the piece before an answer, of an encoder-decoder.
    """

    def __init__(
        self,
        codec: Codec,
        writer: Writer,
        *,
        ends: frozenset[int],
        context: int,
        encoder: Encoder | None = None,
        start: int = 0,
    ) -> None:
        self.codec, self.writer, self.encoder = codec, writer, encoder
        self.ends, self.context, self.start = ends, context, start
        self.device = writer.table.device

    def prompts(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokens of each. Raises UserError for one that is empty, or that leaves no room to write."""
        found = []
        for number, text in enumerate(texts, 1):
            where = "the prompt" if len(texts) == 1 else f"prompt {number}"
            ids = self.codec.tokenizer.encode(text).ids if text.strip() else []
            if not ids:
                raise UserError(f"{where}: expected some text to go on from, got an empty one.")
            most = self.context - (self.encoder is None)
            if len(ids) > most:
                raise UserError(
                    f"{where}: {len(ids):,} tokens, and this model reads {self.context:,} at most. Shorten it by "
                    f"{len(ids) - most:,} tokens or more."
                )
            found.append(ids)
        return found

    def write(self, texts: Sequence[str], config: WriteConfig, *, num: int = 1) -> list[list[Text]]:
        """For each prompt `num` texts: drawn ones, or the best of the beams."""
        prompts, found = self.prompts(texts), []
        for start in range(0, len(prompts), BATCH):
            part, own = prompts[start : start + BATCH], texts[start : start + BATCH]
            if config.beams > 1:
                found += [
                    [self._text(text, one, config) for one in best[:num]]
                    for text, best in zip(own, self._search(part, config), strict=True)
                ]
                continue
            rows: list[list[str]] = [[] for _ in range(len(part) * num)]
            counts, reasons = [0] * len(rows), ["length"] * len(rows)
            for pieces in self._pieces(part, config, num=num, first=start * num):
                for piece in pieces:
                    rows[piece.row].append(piece.text)
                    counts[piece.row] += piece.reason != "end"
                    if piece.reason:
                        reasons[piece.row] = piece.reason
            made = [
                Text(own[row // num], "".join(row_pieces), counts[row], reasons[row])  # type: ignore[arg-type]
                for row, row_pieces in enumerate(rows)
            ]
            found += [made[row : row + num] for row in range(0, len(made), num)]
        return found

    def stream(self, text: str, config: WriteConfig) -> Iterator[str]:
        """The text behind one prompt, piece by piece, each of whole characters."""
        assert config.beams == 1
        for (piece,) in self._pieces(self.prompts([text]), config):
            if piece.text:
                yield piece.text

    def choose(self, texts: Sequence[str], labels: Sequence[str]) -> np.ndarray:
        """(N, L) probabilities of L answers, of which one is to stand behind the prompt; a row's sum is 1."""
        if len(labels) < 2 or len(set(labels)) < len(labels) or not all(labels):
            raise UserError("--one-of: expected two or more different answers.")
        tokens = [self.codec.tokenizer.encode(label, add_special_tokens=False).ids for label in labels]
        room = self.context - max(map(len, tokens)) - 1
        found = []
        for number, prompt in enumerate(self.prompts(texts)):
            if self.encoder is None and len(prompt) > room:
                raise UserError(f"prompt {number + 1}: with the answers behind it, over {self.context:,} tokens.")
            # With the end piece behind them, "ab" and "abc" exclude each other.
            told = [[*label, min(self.ends)] for label in tokens] if self.ends else tokens
            logits, state, _ = self._begin([prompt], each=len(labels))
            scores = score_labels(self.writer.step, state, logits, labels=told)[0]
            shares = np.exp(scores - scores.max())
            found.append(shares / shares.sum())
        return np.stack(found)

    def _begin(self, prompts: list[list[int]], *, each: int = 1) -> tuple[Tensor, Any, list[list[int]]]:
        """Logits and state behind the prompts, and what stands before each text."""
        memory, beginnings = None, prompts
        if self.encoder is not None:
            ids, mask = self._padded(prompts)
            places = torch.arange(ids.shape[1], device=self.device).expand_as(ids)
            given = {"mask": mask, "positions": places, "segments": torch.zeros_like(places)}
            with torch.no_grad():
                memory = Memory(self.encoder(self.writer.table[ids], **given), mask)
            beginnings = [[self.start]] * len(prompts)
        logits, state = self.writer.begin(*self._padded(beginnings), each=each, memory=memory)
        return logits, state, beginnings

    def _padded(self, rows: list[list[int]]) -> tuple[Tensor, Tensor]:
        width = max(map(len, rows))
        ids = torch.tensor([row + [self.codec.pad_id] * (width - len(row)) for row in rows], device=self.device)
        lengths = torch.tensor([len(row) for row in rows], device=self.device)
        return ids, torch.arange(width, device=self.device) < lengths[:, None]

    def _rooms(self, beginnings: list[list[int]], config: WriteConfig) -> list[int]:
        return [min(config.max_tokens, self.context - len(beginning)) for beginning in beginnings]

    def _pieces(
        self, prompts: list[list[int]], config: WriteConfig, *, num: int = 1, first: int = 0
    ) -> Iterator[list[Piece]]:
        """first: the number of the first row, for chance."""
        logits, state, beginnings = self._begin(prompts, each=num)
        rows = [beginning for beginning in beginnings for _ in range(num)]
        before = [[] if self.encoder is not None else row for row in rows]
        tellers = [Teller(self._decode, before=row, stop=config.stop) for row in before]
        fresh: dict[int, str] = {}

        def stops(row: int, token: int) -> bool:
            fresh[row] = tellers[row].feed(token)
            return tellers[row].ended

        steps = one_by_one(
            self.writer.step,
            state,
            logits.repeat_interleave(num, dim=0),
            beginnings=rows,
            rooms=self._rooms(rows, config),
            ends=self.ends,
            config=config,
            stops=stops,
            numbers=range(first, first + len(rows)),
        )
        for told in steps:
            pieces = []
            for one in told:
                text = fresh.pop(one.row, "")
                pieces.append(Piece(one.row, text + tellers[one.row].finish() if one.reason else text, one.reason))
            yield pieces

    def _search(self, prompts: list[list[int]], config: WriteConfig) -> list[list[Written]]:
        logits, state, beginnings = self._begin(prompts, each=config.beams)
        return beam_search(
            self.writer.step,
            state,
            logits,
            beginnings=beginnings,
            rooms=self._rooms(beginnings, config),
            ends=self.ends,
            config=config,
            stops=(lambda tokens: any(stop in self._decode(tokens) for stop in config.stop)) if config.stop else None,
        )

    def _text(self, prompt: str, found: Written, config: WriteConfig) -> Text:
        before = [] if self.encoder is not None else self.codec.tokenizer.encode(prompt).ids
        teller = Teller(self._decode, before=before, stop=config.stop)
        text = "".join([*map(teller.feed, found.tokens), teller.finish()])
        return Text(prompt, text, len(found.tokens), found.reason, found.score)

    def _decode(self, tokens: Sequence[int]) -> str:
        return self.codec.decode(tokens)


def open_language(folder: Path, *, device: torch.device, precision_name: str = "auto") -> Language:
    """Raises UserError for a folder that holds no model that writes, and for pieces that do not fit it."""
    if not (folder / "config.json").is_file():
        raise UserError(
            f"{folder}: expected a folder with config.json, model.safetensors and tokenizer.json of a model that "
            "writes, found no config.json. 'zaowu pretrain --objective causal' makes one."
        )
    base = read_base(folder)
    pair = "decoder_layers" in base.facts
    if not pair and not base.trunk.causal:
        raise UserError(
            f"{folder}: this {base.model_type} model reads texts and writes none. Give a base of "
            "'zaowu pretrain --objective causal', or a folder of GPT-2, Llama or Qwen2."
        )
    codec, dtype = _codec(base), precision.choose(precision_name, device)
    if codec.num_pieces > base.facts["vocab_size"]:
        raise UserError(
            f"{folder}: its tokenizer has {codec.num_pieces} pieces, its config.json says "
            f"{base.facts['vocab_size']}. They belong to different models."
        )
    writer, encoder = read_writer(base, device=device, dtype=dtype)
    return Language(
        codec,
        writer,
        ends=_ends(base, codec),
        context=base.trunk.positions.max_positions,
        encoder=encoder,
        start=base.facts.get("start_id", 0),
    )


def language_of(run: Run) -> Language:
    """Both halves of a run that reads a text and writes one. Raises UserError for another run."""
    writers = run.model.writers()
    if not writers:
        names = ", ".join(run.targets)
        raise UserError(f"{run.folder}: this run answers {names}, and writes no text. Ask it with 'zaowu predict'.")
    if len(writers) > 1 or list(run.source.groups) != ["text"] or len(run.source.columns) > 1:
        raise UserError(f"{run.folder}: reads or writes more than one text. Ask it with 'zaowu predict' and a table.")
    ((target, head),) = writers.values()
    codec, trunk = target.pieces, run.model.trunk
    if target.behind:
        ends = frozenset((codec.end_pieces()[1],))
        return Language(codec, head.writer(trunk), ends=ends, context=trunk.config.positions.max_positions)
    start, end = codec.end_pieces()
    context = min(run.source.max_tokens, target.most)
    return Language(codec, head.writer(), ends=frozenset((end,)), context=context, encoder=trunk, start=start)


def read_writer(base: Base, *, device: torch.device, dtype: torch.dtype) -> tuple[Writer, Encoder | None]:
    """What writes with the weights of a folder, and the encoder where it needs one."""
    pair, folder = "decoder_layers" in base.facts, base.folder
    places = families.find(base.model_type).names(base.trunk, base.facts, heads=("text",) if pair else ("causal",))
    state = families.load_tensors(folder / "model.safetensors", places, config=base.trunk, facts=base.facts)
    table = state[TOKENS].to(device)
    stacks = [_stack(Encoder(base.trunk), state, "trunk.", device, dtype)]
    if pair:
        stacks.append(
            _stack(Decoder(families.decoder_config(base.trunk, base.facts)), state, "decoder.", device, dtype)
        )
    output, bias = state.get("lm_head.weight"), state.get("lm_head.bias")
    writer = Writer(
        stacks[-1],
        table=table,
        output=table if output is None else output.to(device),
        bias=None if bias is None else bias.to(device),
        dtype=dtype,
    )
    return writer, stacks[0] if pair else None


def _stack(stack: Any, state: dict[str, Tensor], base: str, device: torch.device, dtype: torch.dtype) -> Any:
    stack.load_state_dict({name.removeprefix(base): x for name, x in state.items() if name.startswith(base)})
    precision.use(stack, dtype)
    return stack.to(device).eval()


def _codec(base: Base) -> Codec:
    """The folder's own; where it does not name its special pieces, config.json says which one ends a text."""
    if (base.folder / FILES[1]).is_file():
        return Codec.from_folder(base.folder)
    path = base.folder / FILES[0]
    try:
        spec = json.loads(path.read_text("utf-8"))
        pieces = {number: piece for piece, number in spec["model"]["vocab"].items()}
        pieces |= {added["id"]: added["content"] for added in spec.get("added_tokens", ())}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read as a tokenizer file ({shorten(error, 100)}).") from None
    end = pieces.get(base.facts.get("end_id", -1))
    if end is None:
        raise UserError(f"{path}: expected a piece that ends a text, and config.json names none ('eos_token_id').")
    return Codec(spec, {"eos_token": end, "unk_token": end}, where=str(path))


def _ends(base: Base, codec: Codec) -> frozenset[int]:
    """All that the folder's files name: chat models end their turns with another piece than their texts."""
    found = {base.facts.get("end_id"), codec.tokenizer.token_to_id(codec.special.get("eos_token", ""))}
    for name in ("config.json", "generation_config.json"):
        try:
            ends = json.loads((base.folder / name).read_text("utf-8")).get("eos_token_id")
        except (OSError, ValueError, AttributeError):
            continue
        found |= set(ends if isinstance(ends, list) else [ends])
    return frozenset(end for end in found if type(end) is int and 0 <= end < base.facts["vocab_size"])
