"""What can be chosen. Plain frozen dataclasses, at most 20 fields each, saved as JSON and read back strictly."""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints, is_typeddict

from zaowu.errors import UserError, nearest, shorten

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class PositionConfig:
    """How a token knows its place: a learned vector, a fixed sinusoid, or a rotation of queries and keys."""

    kind: Literal["learned", "sinusoidal", "rotary", "none"] = "learned"
    max_positions: int = 512  # learned: rows of the table; else only a promise to other libraries
    base: float = 10000.0  # sinusoidal and rotary: longest wavelength / 2 pi
    halves: bool = False  # sinusoidal: all sines, then all cosines, instead of in turns


@dataclass(frozen=True, kw_only=True)
class AttentionConfig:
    num_heads: int = 4
    num_groups: int = 0  # key/value heads; 0 = as many as num_heads
    dropout: float = 0.0
    bias: bool = True  # of queries, keys and values
    output_bias: bool | None = None  # None = as bias

    @property
    def has_output_bias(self) -> bool:
        return self.bias if self.output_bias is None else self.output_bias


@dataclass(frozen=True, kw_only=True)
class TrunkConfig:
    """The shape of the Transformer. Defaults are BERT's switches at a small size."""

    dim: int = 256
    num_layers: int = 4
    ffn_dim: int = 1024
    ffn_bias: bool = True
    activation: Literal["gelu", "gelu_tanh", "relu", "silu", "swiglu"] = "gelu"
    norm: Literal["layer", "rms", "none"] = "layer"
    norm_place: Literal["after", "before"] = "after"
    norm_eps: float = 1e-12
    residual: Literal["plain", "rezero"] = "plain"
    dropout: float = 0.1
    num_segments: int = 2  # 0: no segment vectors
    entry_scale: bool = False  # token vectors are multiplied by the root of `dim`
    entry_norm: bool = True
    causal: bool = False
    positions: PositionConfig = field(default_factory=PositionConfig)
    attention: AttentionConfig = field(default_factory=AttentionConfig)


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """How inputs, trunk and target are joined. head: the mean of all states, or the first state through a pooler."""

    trunk: TrunkConfig = field(default_factory=TrunkConfig)
    head: Literal["mean", "first"] = "mean"


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """How long training goes on and how its rate moves; what is None sets no limit. `TrainConfig` has the others."""

    shape: Literal["linear", "cosine", "wsd"] = "linear"  # of the rate after its rise
    steps: int | None = None
    tokens: int | None = None
    evaluate_steps: int | None = None  # None: at the end of each epoch
    reach: float | None = None  # validation loss at which training is done


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """How a step is computed; none of it changes what is learned beyond rounding, but the optimizer."""

    optimizer: Literal["adamw", "lamb"] = "adamw"
    accumulate: int = 1  # micro-batches of one step
    recompute: bool = False  # activations are made again for the gradient instead of kept
    shard: bool = False  # weights, gradients and moments are divided among the ranks


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a model is trained; what is None is filled in by the rule (`train/rule.py`) from the data."""

    epochs: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    warmup: float | None = None  # share of all steps in which the rate rises
    weight_decay: float = 0.01
    clip: float = 1.0  # bound of the gradient's norm over all weights
    patience: int = 3  # evaluations without a gain before stopping
    label_smoothing: float | None = None  # None: 0.1 of the pieces of a text that is written, else 0
    layer_decay: float = 1.0  # each layer's rate is this times the one above it
    class_weights: Literal["none", "balanced"] = "none"
    head_start: bool = True  # with a base, heads are fitted to its states before the first step
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    seed: int = 0
    device: str = "auto"
    threads: int | None = None
    time_limit: float | None = None  # seconds
    checkpoint_steps: int | None = None  # None: every five minutes
    keep: int = 1  # checkpoints
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)


@dataclass(frozen=True, kw_only=True)
class WriteConfig:
    """How text is written. The defaults take the likeliest token each time.

    beams > 1 searches for the likeliest text; temperature > 0 draws. They exclude each other.
    """

    max_tokens: int = 128
    beams: int = 1
    length_penalty: float = 1.0  # of beams: a text's score is its log probability / its tokens ** this
    no_repeat: int = 0  # so many tokens in a row never come twice; 0: no such rule
    temperature: float = 0.0  # logits are divided by it before one is drawn
    top_k: int = 0  # of those so many likeliest only; 0: all
    top_p: float = 1.0  # of the fewest likeliest that have this share of the probability together
    repeat_penalty: float = 1.0  # logits of tokens that were there are divided by it, negative ones multiplied
    stop: tuple[str, ...] = ()  # a text ends before the first of these
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which columns mean what, and which rows are used for what. Paths are kept as text."""

    target: tuple[str, ...] = ()  # empty: guessed
    columns: dict[str, str] = field(default_factory=dict)  # name -> kind, overriding the guess
    column_settings: dict[str, dict[str, str]] = field(default_factory=dict)  # name -> what its kind of input is told
    ignore: tuple[str, ...] = ()
    group: str | None = None
    series_id: str | None = None  # rows with equal values here are the measurements of one record
    time: str | None = None  # of each measurement
    weight: str | None = None
    slices: tuple[str, ...] = ()
    valid: str | None = None
    test: str | None = None
    on_bad_row: Literal["stop", "skip"] | None = None


@dataclass(frozen=True, kw_only=True)
class TextConfig:
    """How text becomes vectors. base: a name of `zaowu bases`, a folder, or "none" for learning from scratch."""

    base: str = "multilingual-e5-small"
    size: str = "small"  # from scratch only
    trim_vocab: Literal["auto", "off"] = "auto"
    long: Literal["window", "truncate"] = "window"
    max_tokens: int | None = None  # of one window; None = what the base was trained on
    num_pieces: int = 8000  # from scratch only
    decoder_layers: int | None = None  # of a text that is written; None: as many as read it, of a base at most 6
    lora: int | None = None  # rank of low-rank adapters, which then learn in place of the base's weights
    lora_alpha: float | None = None  # they count alpha / rank times; None: twice the rank

    @property
    def adapters(self) -> tuple[int, float] | None:
        """Rank and alpha, or None."""
        return None if self.lora is None else (self.lora, self.lora_alpha or 2.0 * self.lora)


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """Everything that `zaowu fit` can be told, as it is saved in a run and replayed by `--like`."""

    data: DataConfig = field(default_factory=DataConfig)
    text: TextConfig = field(default_factory=TextConfig)
    head: Literal["mean", "first"] = "mean"
    train: TrainConfig = field(default_factory=TrainConfig)
    write: WriteConfig = field(default_factory=WriteConfig)  # of a target that is a text


@dataclass(frozen=True, kw_only=True)
class CorpusConfig:
    """How raw text is read, cleaned, held out, cut into pieces and tokenised before pre-training."""

    text_column: str | None = None  # of .jsonl and .parquet; None: "text", "content" and their like
    document_column: str | None = None  # rows in a row with equal values are one document; None: "document" if there
    held_out: float = 0.01  # share of the documents
    duplicates: Literal["remove", "keep"] = "remove"  # paragraphs with equal words
    near_duplicates: bool = False  # paragraphs with nearly equal words are removed too
    memory_mb: float = 1000  # that near duplicates may take
    whole_word: bool = False  # keep where words start
    pieces: Literal["wordpiece", "bpe", "unigram"] = "wordpiece"
    num_pieces: int | None = None  # None: 8,000, or more where the characters alone need that
    sample_mb: float | None = None  # of text from which the pieces are learned; None: by kind, for 1 GB of memory
    shard_tokens: int = 1 << 23


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """Everything that `zaowu pretrain` can be told, as it is saved in a base and compared by --resume.

    `train.batch_size` counts rows of `length` tokens; a batch holds as many shorter ones as fill these.
    """

    sources: tuple[str, ...] = ()
    mix: dict[str, float] = field(default_factory=dict)  # source -> how often it is seen in an epoch; 1 if not named
    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    objective: Literal["mlm+nsp", "mlm", "mlm+sop", "causal", "masked-patches"] = "mlm+nsp"
    base: str = "none"  # to go on from
    size: str = "small"  # from scratch only
    trim_vocab: Literal["auto", "off"] = "auto"  # of a base
    length: int = 128  # tokens of a row, special pieces included
    train: TrainConfig = field(default_factory=TrainConfig)


def to_plain(config: Any) -> dict[str, Any]:
    """A config as JSON-ready data."""
    return dataclasses.asdict(config)


def from_plain(kind: type[T], data: Any, *, where: str) -> T:
    """The strict inverse of `to_plain`: unknown names, wrong types and missing choices are a `UserError`.

    `where` is the file that the data came from. Nothing is imported, allocated or run on account of the data.
    """
    if not isinstance(data, dict):
        raise UserError(f"{where}: expected an object for {kind.__name__}, got {type(data).__name__}.")
    hints = get_type_hints(kind)
    known = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    values = {}
    for name, value in data.items():
        if name not in known:
            raise UserError(f"{where}: unknown setting '{name}'.{nearest(name, known)}")
        values[name] = checked(hints[name], value, where=f"{where}, '{name}'")
    for name, field_ in known.items():
        if name not in values and field_.default is field_.default_factory is dataclasses.MISSING:
            raise UserError(f"{where}: '{name}' is missing.")
    return kind(**values)


def checked(hint: Any, value: Any, *, where: str) -> Any:
    """`value` if it is of the type `hint`, which may hold dataclasses and TypedDicts. Raises UserError otherwise."""
    if hint is Any:
        return value
    if is_typeddict(hint):
        if not isinstance(value, dict) or hint.__required_keys__ - value.keys():
            names = ", ".join(sorted(hint.__required_keys__))
            raise UserError(f"{where}: expected an object with {names}, got {shorten(value)}.")
        hints = get_type_hints(hint)
        return {
            name: checked(hints[name], item, where=f"{where}, '{name}'") if name in hints else item
            for name, item in value.items()
        }
    if dataclasses.is_dataclass(hint):
        return from_plain(hint, value, where=where)  # type: ignore[arg-type]
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal:
        if value in args:
            return value
        raise UserError(f"{where}: expected one of {', '.join(map(str, args))}, got {shorten(repr(value))}.")
    if origin is tuple:  # tuple[X, ...]
        if not isinstance(value, (list, tuple)):
            raise UserError(f"{where}: expected a list, got {type(value).__name__}.")
        return tuple(checked(args[0], item, where=where) for item in value)
    if origin is list:
        if not isinstance(value, list):
            raise UserError(f"{where}: expected a list, got {type(value).__name__}.")
        return [checked(args[0], item, where=where) for item in value]
    if origin is dict:  # dict[str, X]
        if not isinstance(value, dict):
            raise UserError(f"{where}: expected an object, got {type(value).__name__}.")
        return {str(name): checked(args[1], item, where=where) for name, item in value.items()}
    options = args if args else (hint,)
    if value is None and type(None) in options:
        return None
    inner = [option for option in options if option is not type(None)]
    if args and len(inner) == 1:  # X | None
        return checked(inner[0], value, where=where)
    for option in options:
        if option is float and type(value) in (int, float) and abs(value) <= sys.float_info.max:
            return float(value)
        if option in (int, str, bool) and type(value) is option:
            return value
    names = " or ".join(getattr(option, "__name__", str(option)) for option in options)
    raise UserError(f"{where}: expected {names}, got {shorten(repr(value))}.")
