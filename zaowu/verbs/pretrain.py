"""`zaowu pretrain`: raw text -> a base of one's own, with a report."""

from __future__ import annotations

import hashlib
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zaowu import learn
from zaowu.batching.shards import Shards, begin_shards, build, leave_nothing, remove_shards, writing
from zaowu.config import PretrainConfig
from zaowu.errors import Stopped, UserError
from zaowu.evaluate.filled import GAP
from zaowu.learn import patches
from zaowu.learn.corpus import (
    Pretrained,
    Tokens,
    choose_tokens,
    make_ready,
    open_corpus,
    put_beside,
    sample_mb,
    tokens_beside,
)
from zaowu.learn.fill import filled
from zaowu.objectives import PATCHES
from zaowu.options import pretrain_choices, pretrain_words, share_of, without_effect
from zaowu.progress import is_quiet, note, speaking
from zaowu.records.corpus import Corpus, sample
from zaowu.report.pretraining import Pretraining, Source
from zaowu.report.say import language
from zaowu.run.base import Base, patches as of_patches, save, shape_for_others
from zaowu.run.folder import partial, shared_place
from zaowu.train.checkpoint import Checkpoint, what_decides
from zaowu.train.estimate import cost
from zaowu.train.estimate.machine import peak_memory_mb
from zaowu.train.estimate.result import WATTS
from zaowu.train.parallel import current, joined
from zaowu.verbs.estimate.pretrain import foresee

SHARDS = ".shards"  # beside the folder of the base, while it is made


def pretrain(
    sources: str | Path | Sequence[str | Path],
    *,
    objective: str = "mlm+nsp",
    base: str = "none",
    size: str = "small",
    pieces: str = "wordpiece",
    vocab_size: int | None = None,
    length: int = 128,
    mix: Mapping[str, float] | Sequence[str] = (),
    whole_word: bool = False,
    near_duplicates: bool = False,
    memory: float = 1000.0,
    shards: str | Path | None = None,
    part: str | None = None,
    epochs: int | None = None,
    steps: int | None = None,
    tokens: int | None = None,
    time_limit: str | float | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    shard: bool = False,
    keep: int = 1,
    settings: Mapping[str, Any] | Sequence[str] = (),
    resume: bool = False,
    overwrite: bool = False,
    out: str | Path | None = None,
    quiet: bool = False,
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    lang: str | None = None,
) -> Base | None:
    """Reads, cleans and tokenises a corpus once, trains on it, writes the base and its report.

    sources: files, folders or URLs of .txt, .md, .jsonl, .parquet, .html, also packed with gzip. objective: mlm+nsp,
    mlm, mlm+sop or causal; masked-patches learns from folders of images or of recordings, or from tables with a column
    of them, and a batch is then so many of these. base: what is gone on from; none = from scratch, with pieces learned
    from the corpus. mix: source -> how often it is seen in an epoch. shards: the folder of the tokenised corpus, which
    then stays; part: "i/n" only tokenises that part of it, and returns None until all parts are done. batch_size: rows
    of `length` tokens in one step. Whichever limit comes first ends the training: epochs, steps, tokens, time_limit
    ("90s", "20m", "2h"), or no gain. settings: rare ones, by name or as "name=value"
    (`options.RARE_OF_PRETRAINING` lists them). The other parameters are those of `fit`.
    Raises UserError for any input that cannot be used; nothing already written is lost.
    """
    given = locals()
    with speaking(quiet=quiet), joined(device) as ranks:
        config = pretrain_choices(given)
        words = language(lang)
        learn.choose_device(config.train.device)
        if (share := share_of(part)) is not None:  # nothing is written to --out, which all parts would try at once
            if shards is None:
                raise UserError("--part: expected --shards FOLDER beside it, a folder that all parts share.")
            config, found, corpus = open_corpus(config)
            with writing(Path(shards)):
                begin_shards(Path(shards), keep=True, anew=False)
            with _stoppable(Path(shards), shards, Path(shards)):
                _tokenised(config, found, corpus, Path(shards), share)
            return None
        if config.objective == PATCHES and shards is not None:
            open_corpus(config)  # says why not
        name = Path(config.sources[0]).absolute().stem
        folder, resume = shared_place(out, name=name, overwrite=overwrite, resume=resume, ranks=ranks)
        if config.objective == PATCHES:
            return _pretrain_patches(config, folder, resume=resume, lang=words)
        return _pretrain(config, folder, shards, resume=resume, lang=words)


def _pretrain(
    config: PretrainConfig,
    folder: Path,
    shards: str | Path | None,
    *,
    resume: bool,
    lang: str,
) -> Base | None:
    start = time.monotonic()
    config, base, corpus = open_corpus(config)
    for sentence in without_effect(config):
        note(sentence)
    checkpoint = Checkpoint(partial(folder), keep=config.train.keep)
    place_of_shards, ranks = folder.with_name(folder.name + SHARDS) if shards is None else Path(shards), current()
    if ranks.is_first:
        if not resume:
            checkpoint.remove()
        elif not (checkpoint.exists or Checkpoint(folder).exists):
            note(f"{folder}: no checkpoint to go on from; starting from the beginning.")
        with writing(place_of_shards):
            begin_shards(place_of_shards, keep=shards is not None, anew=not resume)
    with _stoppable(folder, shards, place_of_shards):
        try:
            tokens, made_shards = _tokenised(config, base, corpus, place_of_shards, (0, 1))
        except UserError:
            if ranks.is_first:
                leave_nothing(place_of_shards)
            raise
        assert made_shards is not None
        for sentence in corpus.counts.sentences():
            note(sentence)
        note(
            f"{made_shards.num_tokens('train'):,} tokens of {made_shards.num_documents('train'):,} documents to learn "
            f"from, {made_shards.num_tokens('valid'):,} tokens of {made_shards.num_documents('valid'):,} held out."
        )
        checkpoint.identity = _identity(config, made_shards)
        if resume and ranks.is_first:
            checkpoint.bring_back(Checkpoint(folder))
        ready = make_ready(made_shards, tokens, config)
        if not is_quiet() and ranks.world == 1:
            for sentence in foresee(ready, made_shards, config, spent={"reading": time.monotonic() - start}).short():
                note(sentence)
        made = ready.learn(checkpoint=checkpoint)
    if not ranks.is_first:
        return None
    base_made = save(made, _content(made, made_shards, config, folder), config, folder, lang=lang)
    if not base_made.stopped:
        Checkpoint(folder).remove()
        if shards is None:
            try:
                remove_shards(place_of_shards)
            except UserError as error:  # the base is made, whatever somebody put there meanwhile
                note(str(error))
    return base_made


def _pretrain_patches(config: PretrainConfig, folder: Path, *, resume: bool, lang: str) -> Base | None:
    """The same from images or recordings, which are read from where they lie."""
    base = patches.check_base(config)
    config = patches.pinned(config, base)
    for sentence in without_effect(config):
        note(sentence)
    media, ranks = patches.read_media(config), current()
    for problem in media.problems[:5]:
        note(f"Left out: {problem}.")
    note(f"{len(media.values) - media.held_out.sum():,} of kind {media.kind} to learn from, "
         f"{media.held_out.sum():,} held out; {media.duplicates:,} copies and {len(media.problems):,} that cannot be "
         "read are left out.")  # fmt: skip
    choices = {name: getattr(config, name) for name in ("objective", "base", "size")}
    identity = {"records": hashlib.sha256(media.ids.tobytes()).hexdigest(), **choices, **what_decides(config.train)}
    checkpoint = Checkpoint(partial(folder), keep=config.train.keep, identity=identity)
    if ranks.is_first and resume:
        checkpoint.bring_back(Checkpoint(folder))
    elif ranks.is_first:
        checkpoint.remove()
    ranks.wait()
    try:
        made = patches.make_ready(media, config, base).learn(checkpoint=checkpoint)
    except (KeyboardInterrupt, Stopped):
        how = " and --resume" if Checkpoint(partial(folder)).exists else " again"
        raise Stopped(f"Stopped; what is done so far is kept. Go on with the same command{how}.") from None
    if not ranks.is_first:
        return None
    base_made = of_patches.save(made, of_patches.content_of(made, media, config, folder), config, folder, lang=lang)
    if not base_made.stopped:
        Checkpoint(folder).remove()
    return base_made


@contextmanager
def _stoppable(folder: Path, shards: str | Path | None, place_of_shards: Path) -> Iterator[None]:
    """Inside, Ctrl-C says how to go on, which depends on what is there by then."""
    try:
        yield
    except (KeyboardInterrupt, Stopped):
        how = " again"
        if Checkpoint(partial(folder)).exists or (shards is None and not folder.exists()):
            how = " and --resume"
        elif shards is None:
            how = f" and --shards {shlex.quote(str(place_of_shards))}"
        raise Stopped(f"Stopped; what is done so far is kept. Go on with the same command{how}.") from None


def _tokenised(
    config: PretrainConfig, base: learn.Base | None, corpus: Corpus, place: Path, part: tuple[int, int]
) -> tuple[Tokens, Shards | None]:
    """The pieces and the shards of one part, which are whole when all parts are done. The first rank makes them."""
    ranks = current()
    if not ranks.is_first:
        ranks.wait()
    tokens = _tokens(config, base, corpus, place)
    shards = build(corpus, tokens.codec, place, part=part)
    if ranks.is_first:
        ranks.wait()
    return tokens, shards


def _tokens(config: PretrainConfig, base: learn.Base | None, corpus: Corpus, place_of_shards: Path) -> Tokens:
    """The pieces, which stand beside the shards: every part of an array job, and every resumed run, has the same."""
    if (tokens := tokens_beside(place_of_shards, config, base)) is not None:
        return tokens
    tokens = choose_tokens(config, base, sample(corpus, sample_mb(config)))
    with writing(place_of_shards):
        put_beside(place_of_shards, config, tokens)
    return tokens_beside(place_of_shards, config, base) or tokens


def _identity(config: PretrainConfig, shards: Shards) -> dict[str, Any]:
    """What must not change between an interruption and --resume."""
    return {
        "corpus": [entry.sha256 for entry in (*shards.train, *shards.valid)],
        "mix": list(shards.weights),
        "objective": config.objective,
        "base": config.base,
        "size": config.size,
        "length": config.length,
        "whole_word": config.corpus.whole_word,
        **what_decides(config.train),
    }


def _content(made: Pretrained, shards: Shards, config: PretrainConfig, folder: Path) -> Pretraining:
    """What the report says."""
    counts, trunk, training = shards.counts, made.model.config.trunk, made.training
    _, classes, why = shape_for_others(made)
    num_tokens = float(training.num_tokens)
    flops = cost.pretrain_flops(trunk, num_tokens, length=config.length)
    return Pretraining(
        name=folder.name,
        objectives=tuple(made.objectives),
        base="" if config.base == "none" else config.base,
        shape={
            "layers": trunk.num_layers,
            "width": trunk.dim,
            "heads": trunk.attention.num_heads,
            "parameters": made.model.num_parameters,
            "pieces": made.source.codec.num_pieces,
            "length": config.length,
        },
        sources=tuple(
            Source(name=source.path, documents=documents, bytes=source.bytes, weight=weight)
            for source, documents, weight in zip(shards.sources, shards.by_source(), shards.weights, strict=True)
        ),
        corpus={
            **{
                name: getattr(counts, name)
                for name in ("documents", "paragraphs", "duplicates", "near_duplicates", "held_out")
            },
            "unreadable": counts.num_skipped,
            "train_tokens": shards.num_tokens("train"),
            "valid_tokens": shards.num_tokens("valid"),
        },
        unreadable=tuple(map(str, counts.skipped[:10])),
        history=tuple(training.history),
        before=made.before,
        reason=training.reason,
        filled=filled(made, shards, seed=made.settings.seed),
        cost={
            "seconds": training.seconds,
            "tokens": num_tokens,
            "tokens_per_s": num_tokens / max(1e-9, training.seconds),
            "flops": flops,
            "peak_mb": peak_memory_mb() or 0.0,
            "watt_hours": training.seconds * WATTS / 3600,
            "watts": WATTS,
        },
        command=shlex.join(["zaowu", "pretrain", *pretrain_words(config), "--out", f"{folder}-again"]),
        opens_with=classes,
        no_config=why,
        mask=GAP,
        notes=tuple(counts.notes),
    )
