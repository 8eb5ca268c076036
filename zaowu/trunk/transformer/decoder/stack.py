"""The decoder: blocks that attend to what they have written so far, and to a source.

    y_0 = dropout(norm(a vectors + P[positions]))
    y_l = Block_l(y_(l-1), m),  l = 1 ... L                                          (Vaswani et al. 2017, 3.1)

m: the last states of an encoder, the same for all blocks. Each block is causal self attention, cross attention and
feed-forward, in the switches of the one config that both halves have.
"""

from __future__ import annotations

from zaowu.config import TrunkConfig
from zaowu.errors import UserError
from zaowu.trunk.transformer.encoder import Encoder


class Decoder(Encoder):
    """(B, T, D) vectors and a `Memory` -> (B, T, D) states; called as `Encoder` is, always with `memory`.

    config: `causal`, and without segments: what it writes is one text. Raises UserError as `Encoder`.
    """

    def __init__(self, config: TrunkConfig) -> None:
        if not config.causal or config.num_segments:
            raise UserError(
                "trunk: expected 'causal' and no segment vectors for a decoder, got "
                f"causal {config.causal} and {config.num_segments} segments."
            )
        super().__init__(config, cross=True)
