"""All blocks of an encoder in one call, for answers: no gradient, no dropout, products in bfloat16 (encoder.c)."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from zaowu.trunk.kernels import build
from zaowu.trunk.kernels.attention import LONGEST, WIDE, Settings
from zaowu.trunk.kernels.call import address, call
from zaowu.trunk.transformer.layout import Layout

if TYPE_CHECKING:
    from zaowu.trunk.transformer.block import Block
    from zaowu.trunk.transformer.linear import Linear

COLUMNS = 64  # of a panel of weights; widths are multiples of it


class _Product(ctypes.Structure):
    """`Product` in encoder.c."""

    _fields_ = (("weight", ctypes.c_void_p), ("bias", ctypes.c_void_p))


class _Layer(ctypes.Structure):
    """`Layer` in encoder.c."""

    _fields_ = (
        *((name, _Product) for name in ("qkv", "output", "up", "down")),
        *((name, ctypes.c_void_p * 2) for name in ("gain", "bias")),
        ("eps", ctypes.c_double * 2),
    )


class _Encoder(ctypes.Structure):
    """`Encoder` in encoder.c."""

    _fields_ = (("layers", ctypes.c_void_p), *((name, ctypes.c_int64) for name in ("num_layers", "dim", "inner")))


class Packed:
    """The weights of some blocks as the kernel reads them; used until one of them changes."""

    def __init__(self, blocks: Iterable[Block]) -> None:
        self.blocks = list(blocks)
        self.weights = [weight for block in self.blocks for weight in block.parameters()]
        self.versions = [weight._version for weight in self.weights]
        self.kept: list[Tensor] = []  # what the table points into
        self._table = (_Layer * len(self.blocks))(*map(self._layer, self.blocks))
        first = self.blocks[0]
        self.heads, self.groups = first.attention.num_heads, first.attention.num_groups
        self.dim, inner = first.ffn.up.in_features, first.ffn.up.out_features
        self._encoder = _Encoder(ctypes.addressof(self._table), len(self.blocks), self.dim, inner)

    @property
    def is_fresh(self) -> bool:
        return [weight._version for weight in self.weights] == self.versions

    def __call__(self, x: Tensor, layout: Layout) -> Tensor:
        """(N, D) float32 -> (N, D), the states behind the last block."""
        assert layout.starts is not None
        settings = Settings(
            starts=address(layout.starts),
            documents=address(layout.packed_documents),
            batch=layout.batch,
            length=layout.length,
            heads=self.heads,
            groups=self.groups,
            width=self.dim // self.heads,
            causal=layout.causal,
        )
        out = x.clone(memory_format=torch.contiguous_format)
        call("encoder_forward", ctypes.addressof(self._encoder), ctypes.addressof(settings), address(out))
        return out

    def _layer(self, block: Block) -> _Layer:
        attention, norms = block.attention, (block.attention_norm, block.ffn_norm)
        return _Layer(
            *(
                self._product(layers)
                for layers in (
                    (attention.query, attention.key, attention.value),
                    (attention.output,),
                    (block.ffn.up,),
                    (block.ffn.down,),
                )
            ),
            gain=(ctypes.c_void_p * 2)(*(self._keep(norm.weight) for norm in norms)),
            bias=(ctypes.c_void_p * 2)(*(self._keep(norm.bias) for norm in norms)),
            eps=(ctypes.c_double * 2)(*(float(norm.eps) for norm in norms)),  # type: ignore[arg-type]
        )

    def _product(self, layers: Sequence[Linear]) -> _Product:
        """Weights as panels, (out / COLUMNS, in / 2, COLUMNS, 2); biases rounded as they are in any other product."""
        weight = torch.cat([layer.whole.to(torch.bfloat16) for layer in layers])
        panels = weight.view(-1, COLUMNS, weight.shape[1] // 2, 2).transpose(1, 2)
        bias = torch.cat([layer.bias.detach().to(torch.bfloat16).float() for layer in layers])
        return _Product(self._keep(panels), self._keep(bias))

    def _keep(self, x: Any) -> int:
        self.kept.append(x.detach().contiguous())
        return address(self.kept[-1])


def fits(x: Tensor, layout: Layout, block: Block) -> bool:
    """Whether these tokens can go through `Packed` of blocks such as `block`."""
    wanted = not block.training and block.attention.output.dtype == torch.bfloat16 and not torch.is_grad_enabled()
    if not wanted or x.device.type != "cpu" or x.dtype != torch.float32 or not _compiled():
        return False
    return layout.length <= LONGEST and layout.starts is not None


@cache
def _compiled() -> bool:
    library = build.library()
    return library is not None and bool(library.encoder_fits())


def computes(block: Block) -> bool:
    """Whether the kernel does what this block does: norm after, gelu, biases everywhere, widths that it takes."""
    if block.norm_before or block.attention_scale is not None or block.ffn.kind != "gelu":
        return False
    attention, ffn = block.attention, block.ffn
    layers = (attention.query, attention.key, attention.value, attention.output, ffn.up, ffn.down)
    for norm in (block.attention_norm, block.ffn_norm):
        if not isinstance(norm, nn.LayerNorm) or norm.bias is None or norm.weight.dtype != torch.float32:
            return False
    if any(layer.bias is None or layer.comes_and_goes or layer.weight.dtype != torch.float32 for layer in layers):
        return False
    width = attention.query.out_features // attention.num_heads
    widths = (attention.query.out_features + 2 * attention.key.out_features, ffn.up.in_features, ffn.up.out_features)
    return width % WIDE == 0 and not any(each % COLUMNS for each in widths)
