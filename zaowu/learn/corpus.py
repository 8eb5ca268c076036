"""A tokenised corpus and settings -> a pre-trained model: pieces, objectives, model and loop."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from zaowu import bases, objectives
from zaowu.batching.batch import Batch
from zaowu.batching.shards import Shards
from zaowu.config import ModelConfig, PretrainConfig, TrainConfig, TrunkConfig
from zaowu.errors import UserError, shorten
from zaowu.inputs import text
from zaowu.inputs.text import learn_pieces
from zaowu.inputs.text.codec import FILES, Codec
from zaowu.learn import DEFAULT_TOKENS, Base, begun, trunk_base
from zaowu.model import Model
from zaowu.objectives import Objective, Pieces, Recipe, Tally
from zaowu.records.corpus import Corpus, documents
from zaowu.train import loop, rule
from zaowu.train.checkpoint import Checkpoint
from zaowu.train.corpus import CorpusFeed, held_out
from zaowu.train.feed import Judged
from zaowu.train.parallel import ALONE, current


@dataclass(frozen=True)
class Tokens:
    """What a corpus is tokenised with. kept: rows of the base's token table that stay (None: all, or no base)."""

    codec: Codec
    base: Base | None
    kept: np.ndarray | None = None


@dataclass
class Pretrained:
    """A pre-trained model with everything that came with it. model_type: what others call the shape of its trunk.

    facts: of the base's token table, as its family has them; empty without a base.
    before: the judge's scores before the first step; empty without one.
    """

    model: Model
    source: text.Input
    objectives: dict[str, Objective]
    training: loop.Training
    settings: TrainConfig
    model_type: str
    facts: dict[str, int]
    before: dict[str, float] = field(default_factory=dict)


def is_causal(config: PretrainConfig) -> bool:
    return config.objective == "causal"


def check_base(config: PretrainConfig) -> Base | None:
    """The base to go on from, None for none. Raises UserError where it does not fit the objective or the length."""
    if config.base == "none":
        _fresh_trunk(config)
        return None
    base = trunk_base(config.base)
    if base.modality != "text":
        raise UserError(f"--base {config.base}: is a {base.model_type} model, which reads no text.")
    if base.trunk.causal != is_causal(config):
        kind, fitting = ("an encoder", "mlm+nsp, mlm or mlm+sop")
        if base.trunk.causal:
            kind, fitting = "a language model", "causal"
        raise UserError(f"--objective {config.objective}: {config.base} is {kind}, which goes on with {fitting}.")
    if config.objective in ("mlm+nsp", "mlm+sop") and base.trunk.num_segments < 2:
        raise UserError(
            f"--objective {config.objective}: {config.base} has no vector for a second sentence. Use --objective mlm."
        )
    positions = base.trunk.positions
    if positions.kind == "learned" and config.length > positions.max_positions:
        raise UserError(f"--length: {config.base} has {positions.max_positions} positions, got {config.length}.")
    # Before the corpus is read, which may take hours: whether the base's tokenizer has the pieces that are needed.
    recipe = Recipe(pieces=Pieces.of(Codec.from_folder(base.folder)), length=config.length)
    objectives.make(objectives.parse(config.objective), recipe)
    return base


def open_corpus(config: PretrainConfig) -> tuple[PretrainConfig, Base | None, Corpus]:
    """The config with the base's revision pinned, the base, and the corpus, of which nothing is read yet.

    Raises UserError for an objective that is none of texts.

    Raises UserError as `check_base`, and for a source that is not there.
    """
    if config.objective == objectives.PATCHES:
        raise UserError(
            f"--objective {config.objective}: learns from images and recordings, for which there is no estimate, no "
            "--part and no --shards. Leave these out."
        )
    corpus = documents([(source, config.mix.get(source, 1.0)) for source in config.sources], config.corpus)
    base = check_base(config)
    if base is not None:
        config = replace(config, base=bases.pinned(config.base, base.folder))
    return config, base, corpus


def sample_mb(config: PretrainConfig) -> float:
    """Of text from which the pieces are learned: what was chosen, else as much as learning takes 1 GB of memory for."""
    return config.corpus.sample_mb or learn_pieces.SAMPLE_MB[config.corpus.pieces]


def choose_tokens(config: PretrainConfig, base: Base | None, sample: Iterable[str]) -> Tokens:
    """The base's pieces (those that the sample and its scripts need), or pieces learned from the sample."""
    if base is None:
        corpus = config.corpus
        codec = learn_pieces.learn(sample, kind=corpus.pieces, num_pieces=corpus.num_pieces, causal=is_causal(config))
        return Tokens(codec, None)
    codec, kept = Codec.from_folder(base.folder), None
    if config.trim_vocab == "auto":
        codec, kept = codec.trimmed(list(sample))
    return Tokens(codec, base, kept)


PIECES, ORIGIN = "pieces", "origin.json"  # in a folder of shards


def tokens_beside(shards: Path, config: PretrainConfig, base: Base | None) -> Tokens | None:
    """What the corpus in a folder of shards is tokenised with; None where nothing is there yet.

    Raises UserError where these are other pieces than `choose_tokens` would choose: a base would take each for another
    one of its own. Shards whose pieces are those of the base, all of them, do as well.
    """
    if not (shards / PIECES / FILES[0]).is_file():
        return None
    path = shards / PIECES / ORIGIN
    try:
        found = json.loads(path.read_text("utf-8"))
        before, kept = dict(found["origin"]), found["kept"]
        kept = None if kept is None else np.asarray(kept, np.int64)
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise UserError(
            f"{path}: cannot be read as what the pieces came from ({error}). Tokenise the corpus anew."
        ) from None
    codec, now = Codec.from_folder(shards / PIECES), _origin(config, base)
    if before != now and not (kept is None and codec.fingerprint == now.get("base")):
        names = sorted(name for name in {**before, **now} if before.get(name) != now.get(name))
        what = "; ".join(f"{name} is {now.get(name)}, {before.get(name)} before" for name in names)
        raise UserError(
            f"{shards}: the shards here hold other pieces than were asked for ({shorten(what, 200)}). Give what they "
            "were made with, or choose another folder."
        )
    return Tokens(codec, base, kept)


def put_beside(shards: Path, config: PretrainConfig, tokens: Tokens) -> None:
    """The same for those who come later: whole or not at all. Raises OSError where there is no room.

    Several parts of an array job may do so at once; the first one's pieces stand, and all theirs are equal.
    """
    fresh = shards / f"{PIECES}.{uuid.uuid4().hex[:8]}.new"
    try:
        fresh.mkdir(parents=True)
        tokens.codec.save(fresh)
        kept = None if tokens.kept is None else tokens.kept.tolist()
        (fresh / ORIGIN).write_text(json.dumps({"origin": _origin(config, tokens.base), "kept": kept}), "utf-8")
        try:
            fresh.rename(shards / PIECES)
        except OSError:
            if not (shards / PIECES / FILES[0]).is_file():
                raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _origin(config: PretrainConfig, base: Base | None) -> dict[str, Any]:
    """All that decides the pieces of a corpus, but for its text."""
    corpus = config.corpus
    if base is not None:
        whole = Codec.from_folder(base.folder).fingerprint
        return {"base": whole, "trim_vocab": config.trim_vocab, "sample_mb": corpus.sample_mb}
    return {
        "base": "none",
        "pieces": corpus.pieces,
        "vocab_size": corpus.num_pieces,
        "sample_mb": corpus.sample_mb,
        "objective": "causal" if is_causal(config) else "masked",
    }


@dataclass(frozen=True)
class Ready:
    """A tokenised corpus made ready to learn from: every choice made. No weight is allocated yet.

    judged: batches of the held-out side. settings: with the rule's choices filled in.
    """

    tokens: Tokens
    source: text.Input
    objectives: dict[str, Objective]
    config: ModelConfig
    settings: TrainConfig
    feed: CorpusFeed
    judged: list[Batch]
    length: int

    @property
    def judge(self) -> HeldOut | None:
        return HeldOut(self.judged) if self.judged else None

    def new_model(self) -> Model:
        """Its parts and sizes, weights as torch allocates them: under `torch.device("meta")` they take no memory."""
        return Model({self.source.kind: self.source}, {}, self.config, objectives=self.objectives)

    def model(self) -> Model:
        """The model before its first step, on its device."""
        tokens = self.tokens
        return begun(
            self.new_model(), {self.source.kind: self.source}, self.settings, base=tokens.base, kept=tokens.kept
        )

    def learn(self, *, checkpoint: Checkpoint | None = None) -> Pretrained:
        model, base, judge = self.model(), self.tokens.base, self.judge
        before = judge(model).scores if judge else {}
        training = loop.train(model, self.feed, judge, self.settings, checkpoint=checkpoint, label="pre-training")
        return Pretrained(
            model=model,
            source=self.source,
            objectives=self.objectives,
            training=training,
            settings=self.settings,
            model_type=base.model_type if base else "llama" if self.config.trunk.causal else "bert",
            facts=base.facts if base else {},
            before=before,
        )


def make_ready(shards: Shards, tokens: Tokens, config: PretrainConfig, *, times: float = 1.0) -> Ready:
    """To train on the train side of `shards`; the valid side chooses among the evaluations, where there is one.

    times: as many tokens an epoch of the corpus has that the choices are made for, where `shards` are a part of it.
    From here on torch works with the threads of the config.
    """
    settings = rule.fill_pretraining(
        config.train,
        epoch_tokens=times * shards.epoch_tokens("train"),
        length=config.length,
        from_base=tokens.base is not None,
    )
    if settings.threads:
        torch.set_num_threads(settings.threads)
    recipe = Recipe(
        pieces=Pieces.of(tokens.codec),
        length=config.length,
        seed=settings.seed,
        whole_word=config.corpus.whole_word,
        weights=tuple(shards.weights),
        tied=tokens.base is None or bool(tokens.base.facts.get("tied", 1)),
    )
    chosen = objectives.make(objectives.parse(config.objective), recipe)
    assert settings.batch_size
    batch_tokens = settings.batch_size * config.length
    feed = CorpusFeed(shards, chosen, batch_tokens=batch_tokens)
    if not feed.num_batches(0):
        raise UserError("--mix: with these weights the first epoch holds no document. Give larger ones.")
    return Ready(
        tokens=tokens,
        source=text.Input(["text"], tokens.codec, max_tokens=config.length),
        objectives=chosen,
        config=ModelConfig(trunk=tokens.base.trunk if tokens.base else _fresh_trunk(config)),
        settings=settings,
        feed=feed,
        judged=held_out(shards, chosen, batch_tokens=batch_tokens),
        length=config.length,
    )


def _fresh_trunk(config: PretrainConfig) -> TrunkConfig:
    return rule.from_scratch(config.size, max_positions=max(DEFAULT_TOKENS, config.length), causal=is_causal(config))


@dataclass(frozen=True)
class HeldOut:
    """The objectives' figures on batches that no training sees. The sum of their losses chooses."""

    batches: Sequence[Batch]

    def __call__(self, model: Model) -> Judged:
        was_training, device = model.training, next(model.parameters()).device
        model.eval()
        # With ranks each one answers its share; where weights are spread over them, all go through all together.
        ranks = ALONE if model.is_sharded else current()
        tallies = dict.fromkeys(model.objectives, Tally())
        for batch in self.batches[ranks.rank :: ranks.world]:
            for name, tally in model.judge(batch.to(device)).items():
                tallies[name] = tallies[name] + tally
        tallies = {name: Tally(*ranks.sums(own.loss, own.right, own.count)) for name, own in tallies.items()}
        model.train(was_training)
        scores: dict[str, float] = {}
        total = 0.0
        for name, tally in tallies.items():
            if not tally.count:  # documents of one sentence have no next one
                continue
            found = model.objectives[name].score(tally)
            total += found["loss"]
            before = f"{name}_" if scores else ""
            scores |= {f"{before}{metric}": value for metric, value in found.items()}
        return Judged(scores, (-total,))
