"""One token more of each row through a whole stack of blocks, in one call (write.c)."""

from __future__ import annotations

import ctypes
import mmap
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from zaowu.trunk.kernels import DTYPES, available
from zaowu.trunk.kernels.call import address, call

if TYPE_CHECKING:
    from zaowu.trunk.transformer.decoder.cache import Cache
    from zaowu.trunk.transformer.encoder import Encoder

ROWS = 64  # at most; with more, torch's products are faster
ACTIVATIONS = ("gelu", "gelu_tanh", "relu", "silu", "swiglu")  # in the order of write.c


PAIRS = 32  # numbers of bfloat16 that are laid out together, see `load_two`
LINE = 32  # numbers that a matrix begins at a multiple of


class _Matrix(ctypes.Structure):
    _fields_ = (("weight", ctypes.c_void_p), ("bias", ctypes.c_void_p), ("out", ctypes.c_int64))


class _Norm(ctypes.Structure):
    _fields_ = (("gain", ctypes.c_void_p), ("bias", ctypes.c_void_p))


class _Layer(ctypes.Structure):
    _fields_ = (
        *((name, _Matrix) for name in ("query", "key", "value", "output", "cross_query", "cross_output")),
        *((name, _Matrix) for name in ("up", "gate", "down")),
        *((name, _Norm) for name in ("attention", "cross", "ffn")),
        ("memory_keys", ctypes.c_void_p),
        ("memory_values", ctypes.c_void_p),
        ("scales", ctypes.c_double * 3),
    )


class _Step(ctypes.Structure):
    _fields_ = (
        ("layers", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("num_layers", "dim", "heads", "groups", "width", "inner", "low")),
        *((name, ctypes.c_int64) for name in ("before", "activation")),
        ("eps", ctypes.c_double),
        ("exit", _Norm),
        ("logits", _Matrix),
        *((name, ctypes.c_int64) for name in ("rows", "block", "places", "lanes")),
        *((name, ctypes.c_void_p) for name in ("blocks", "lengths", "table", "own", "sources", "memory_lengths")),
        ("memory_length", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("cos", "sin", "x", "found", "room", "rounded")),
    )


def fits(trunk: Encoder, output: Tensor, dtype: torch.dtype) -> bool:
    """Whether `Stack` can be made of these weights: float32 ones, and a head width that the library works with."""
    weights = [*trunk.parameters(), output]
    if dtype == torch.bfloat16 and (trunk.config.dim % PAIRS or trunk.config.ffn_dim % PAIRS):
        return False
    return dtype in DTYPES and all(x.dtype == torch.float32 for x in weights) and available(*weights)


class Stack:
    """A stack and its output layer, laid out for `write.c`: all matrices behind one another in large pages of memory.

    With small pages, finding them takes the processor nearly as long as reading them. Weights of float32 move there
    and are shared with the model; for bfloat16 they are copied as they are now.
    """

    def __init__(self, trunk: Encoder, *, output: Tensor, bias: Tensor | None, dtype: torch.dtype) -> None:
        config = trunk.config
        self.dtype, self.dim = dtype, config.dim
        self._kept: list[Tensor] = []  # what the structures point into
        matrices = [layer.weight for layer in trunk.modules() if isinstance(layer, nn.Linear)]
        self._pages = pages(sum(weight.numel() for weight in (*matrices, output)) + LINE * (1 + len(matrices)), dtype)
        self._used = 0
        self._layers = (_Layer * config.num_layers)(*(self._layer(block) for block in trunk.blocks))
        heads = config.attention.num_heads
        groups, inner = config.attention.num_groups or heads, config.ffn_dim
        self._step = _Step(
            layers=ctypes.addressof(self._layers),
            num_layers=config.num_layers,
            dim=config.dim,
            heads=heads,
            groups=groups,
            width=config.dim // heads,
            inner=inner,
            low=dtype == torch.bfloat16,
            before=config.norm_place == "before",
            activation=ACTIVATIONS.index(config.activation),
            eps=config.norm_eps,
            exit=self._norm(trunk.exit_norm),
            logits=self._matrix(output, bias),
        )
        self._floats = 3 * config.dim + (heads + 2 * groups) * (config.dim // heads) + 2 * inner
        self._room, self._rounded = torch.empty(0), torch.empty(0, dtype=torch.bfloat16)
        self.num_pieces = len(output)

    def __call__(self, x: Tensor, cache: Cache, rotation: tuple[Tensor, Tensor] | None) -> Tensor:
        """x: (R, D) float32, written over. The cache is open. Returns (R, V) float32."""
        step, rows = self._step, len(x)
        if self._room.numel() < rows * self._floats:
            self._room = torch.empty(rows * self._floats)
            self._rounded = torch.empty(rows * max(step.dim, step.inner), dtype=torch.bfloat16)
        found = torch.empty(rows, self.num_pieces)
        blocks = (ctypes.c_void_p * len(cache.blocks))(*(block.data_ptr() for block in cache.blocks))
        if cache.memory:
            for layer, (keys, values) in zip(self._layers, cache.memory, strict=True):
                layer.memory_keys, layer.memory_values = address(keys), address(values)
            step.memory_length = cache.memory[0][0].shape[2]
        turned = [] if rotation is None else [part.reshape(rows, -1).contiguous() for part in rotation]
        step.cos, step.sin = map(address, turned) if turned else (None, None)
        step.rows, step.block, step.places, step.lanes = rows, cache.block, cache.table.shape[1], cache.num_lanes
        step.blocks, step.lengths, step.table = ctypes.addressof(blocks), address(cache.lengths), address(cache.table)
        step.own, step.sources = address(cache.own), address(cache.sources)
        step.memory_lengths = address(cache.memory_lengths)
        step.x, step.found, step.room = address(x), address(found), address(self._room)
        step.rounded = address(self._rounded)
        call("write_step", ctypes.addressof(step))
        return found

    def _layer(self, block: Any) -> _Layer:
        own, ffn, cross = block.attention, block.ffn, block.cross
        names = ("attention_scale", "cross_scale", "ffn_scale")
        scales = [1.0 if (scale := getattr(block, name)) is None else float(scale) for name in names]
        found = _Layer(
            **{name: self._linear(getattr(own, name)) for name in ("query", "key", "value", "output")},
            up=self._linear(ffn.up),
            down=self._linear(ffn.down),
            attention=self._norm(block.attention_norm),
            ffn=self._norm(block.ffn_norm),
            scales=(ctypes.c_double * 3)(*scales),
        )
        if hasattr(ffn, "gate"):
            found.gate = self._linear(ffn.gate)
        if cross is not None:
            found.cross_query, found.cross_output = self._linear(cross.query), self._linear(cross.output)
            found.cross = self._norm(block.cross_norm)
        return found

    def _linear(self, layer: Any) -> _Matrix:
        return self._matrix(layer.weight, layer.bias)

    def _matrix(self, weight: Tensor, bias: Tensor | None) -> _Matrix:
        kept = self._pages[self._used : self._used + weight.numel()].view(weight.shape)
        if self.dtype == torch.bfloat16:  # two halves of 16, in turns
            kept.view(len(weight), -1, 16, 2).copy_(weight.detach().view(len(weight), -1, 2, 16).transpose(2, 3))
        else:
            kept.copy_(weight.detach())
        self._used += -(-weight.numel() // LINE) * LINE
        if weight.dtype == self.dtype:
            weight.data = kept
        return _Matrix(weight=address(kept), bias=self._vector(bias), out=len(kept))

    def _norm(self, norm: nn.Module | None) -> _Norm:
        if not isinstance(norm, (nn.LayerNorm, nn.RMSNorm)):
            return _Norm()
        return _Norm(gain=self._vector(norm.weight), bias=self._vector(getattr(norm, "bias", None)))

    def _vector(self, x: Tensor | None) -> int | None:
        if x is None:
            return None
        self._kept.append(x.detach().float().contiguous())
        return address(self._kept[-1])


def pages(count: int, dtype: torch.dtype) -> Tensor:
    """(count,) numbers in memory that the system is asked to hold in large pages, where it knows of such."""
    if not hasattr(mmap, "MADV_HUGEPAGE"):
        return torch.empty(count, dtype=dtype)
    private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS  # what is shared has pages of its own kind
    room = mmap.mmap(-1, count * dtype.itemsize, flags=private)
    room.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(room, dtype=dtype, count=count)
