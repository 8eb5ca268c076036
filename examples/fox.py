"""One sentence through one encoder block and one decoder block, with every shape, and attention as a picture.

    python examples/fox.py            # prints the shapes, writes fox.svg

"The quick brown fox jumps over the lazy dog" goes in, and the two blocks learn, in a second, to say it in German.
Each step of the paper (Vaswani et al. 2017) is done here once more by hand, with the weights of the blocks, and must
give what the blocks give: this file is the shortest way to see what is inside `zaowu/trunk/transformer/`.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from zaowu.config import AttentionConfig, PositionConfig, TrunkConfig
from zaowu.trunk.transformer.decoder.cross import Memory
from zaowu.trunk.transformer.decoder.stack import Decoder
from zaowu.trunk.transformer.decoder.writer import Writer
from zaowu.trunk.transformer.encoder import Encoder
from zaowu.trunk.transformer.positions import sinusoids

SOURCE = ["The", "quick", "brown", "fox", "jumps", "over", "the", "lazy", "dog"]
TARGET = ["Der", "schnelle", "braune", "Fuchs", "springt", "über", "den", "faulen", "Hund"]
START, END = "<s>", "</s>"
DIM, HEADS, FFN, STEPS = 32, 4, 64, 120
HEAD_DIM = DIM // HEADS
CONFIG = TrunkConfig(  # the block of the paper: norm after, ReLU, sinusoidal positions, vectors times the root of D
    dim=DIM,
    num_layers=1,
    ffn_dim=FFN,
    activation="relu",
    norm_eps=1e-5,
    dropout=0.0,
    num_segments=0,
    entry_norm=False,
    entry_scale=True,
    positions=PositionConfig(kind="sinusoidal"),
    attention=AttentionConfig(num_heads=HEADS),
)
DECODER = TrunkConfig(**{**vars(CONFIG), "causal": True})  # the same, but no token sees the next one


def main(picture: Path) -> dict[str, Tensor]:
    """Prints the way of the sentence, writes the picture, and returns the weights of attention, (H, queries, keys)."""
    words = sorted({START, END, *SOURCE, *TARGET})
    number = {word: place for place, word in enumerate(words)}
    source = torch.tensor([[number[word] for word in SOURCE]])  # (1, S)
    target = torch.tensor([[number[word] for word in (START, *TARGET)]])  # (1, T): what the decoder has read
    answers = torch.tensor([[number[word] for word in (*TARGET, END)]])  # (1, T): what it is to say next

    torch.manual_seed(0)
    table = torch.nn.Parameter(torch.randn(len(words), DIM) * DIM**-0.5)  # (V, D), of both sides and of the output
    encoder, decoder = Encoder(CONFIG), Decoder(DECODER)
    weights = [table, *encoder.parameters(), *decoder.parameters()]
    optimizer = torch.optim.Adam(weights, lr=3e-3)
    for step in range(STEPS + 1):
        logits = through(encoder, decoder, table, source, target)
        loss = F.cross_entropy(logits[0], answers[0])
        if step % 40 == 0:
            print(f"step {step:3}: cross-entropy {loss.item():.3f}")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    encoder.eval()
    decoder.eval()
    with torch.no_grad():
        found = by_hand(encoder, decoder, table, source, target)
    print(f"\nwritten token by token: {' '.join(write(encoder, decoder, table, source, words))}")
    draw(found, picture)
    print(f"attention: {picture}")
    return found


def through(encoder: Encoder, decoder: Decoder, table: Tensor, source: Tensor, target: Tensor) -> Tensor:
    """(1, S), (1, T) -> logits (1, T, V): all that is needed to use the two halves."""
    memory = Memory(states(encoder, table[source]), torch.ones_like(source, dtype=torch.bool))
    return states(decoder, table[target], memory=memory) @ table.t()


def states(stack: Encoder, vectors: Tensor, **more: Memory) -> Tensor:
    places = torch.arange(vectors.shape[1])[None]
    mask = torch.ones_like(places, dtype=torch.bool)
    return stack(vectors, mask=mask, positions=places, segments=torch.zeros_like(places), **more)


def by_hand(encoder: Encoder, decoder: Decoder, table: Tensor, source: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Every step with its shape; the weights of the three attentions."""
    print(f"\n{'':44}S = {source.shape[1]}, T = {target.shape[1]}, D = {DIM}, H = {HEADS}, K = D / H = {HEAD_DIM}")
    print("encoder")
    block = encoder.blocks[0]
    x = enter(table, source)
    seen, of_source = attention(block.attention, x, x, name="self attention")
    x = block.attention_norm(x + seen)
    memory = block.ffn_norm(x + feed_forward(block.ffn, x))
    show("states: norm(x + feed-forward)", memory)
    close(memory, states(encoder, table[source])[0])

    print("decoder")
    block = decoder.blocks[0]
    y = enter(table, target)
    past = torch.ones(len(y), len(y), dtype=torch.bool).tril()  # True = may be seen
    show("may be seen: itself and what is before", past)
    seen, of_target = attention(block.attention, y, y, allowed=past, name="causal self attention")
    y = block.attention_norm(y + seen)
    seen, between = attention(block.cross, y, memory, name="cross attention")
    y = block.cross_norm(y + seen)
    y = block.ffn_norm(y + feed_forward(block.ffn, y))
    show("states", y)
    logits = y @ table.t()
    show("logits: states E^T, one for each word", logits)
    close(logits, through(encoder, decoder, table, source, target)[0])
    return {"encoder": of_source, "decoder": of_target, "cross": between}


def enter(table: Tensor, ids: Tensor) -> Tensor:
    """sqrt(D) E[ids] + S(p), section 3.4 and 3.5."""
    vectors = table[ids[0]] * math.sqrt(DIM)
    show("token vectors, times the root of D", vectors)
    places = sinusoids(torch.arange(len(vectors)), dim=DIM, base=10000.0)
    show("+ sinusoids of the positions", places)
    return vectors + places


def attention(
    layer: torch.nn.Module, x: Tensor, m: Tensor, *, name: str, allowed: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """softmax(Q K^T / sqrt(K)) V for each head, side by side, times W^output: equation 1 and section 3.2.2."""
    q, k, v = layer.query(x), layer.key(m), layer.value(m)
    q, k, v = (part.view(len(part), HEADS, HEAD_DIM).transpose(0, 1) for part in (q, k, v))
    show(f"{name}: queries (H, T, K)", q)
    show("keys and values (H, S, K)", k)
    scores = q @ k.transpose(1, 2) / math.sqrt(HEAD_DIM)
    if allowed is not None:
        scores = scores.masked_fill(~allowed, -math.inf)
    weights = scores.softmax(-1)
    show("weights (H, T, S), rows of sum 1", weights)
    seen = (weights @ v).transpose(0, 1).flatten(1)
    show("heads side by side", seen)
    return layer.output(seen), weights


def feed_forward(layer: torch.nn.Module, x: Tensor) -> Tensor:
    """max(0, x W_1 + b_1) W_2 + b_2, section 3.3."""
    inner = layer.up(x).relu()
    show("feed-forward, inside", inner)
    return layer.down(inner)


def write(encoder: Encoder, decoder: Decoder, table: Tensor, source: Tensor, words: list[str]) -> list[str]:
    """The likeliest word each time, with a cache: every step is the work of one word."""
    with torch.no_grad():
        memory = Memory(states(encoder, table[source]), torch.ones_like(source, dtype=torch.bool))
    writer = Writer(decoder, table=table.detach(), output=table.detach())
    start = torch.tensor([[words.index(START)]])
    logits, state = writer.begin(start, torch.ones_like(start, dtype=torch.bool), memory=memory)
    found: list[str] = []
    while len(found) < 20:
        token = logits.argmax(1)
        if words[token] == END:
            break
        found.append(words[token])
        logits, state = writer.step(state, token)
    return found


def draw(found: dict[str, Tensor], picture: Path) -> None:
    """A square for each query and key: the mean over the heads."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot as plt

    written = [START, *TARGET]
    sides = {"encoder": (SOURCE, SOURCE), "decoder": (written, written), "cross": (written, SOURCE)}
    with plt.rc_context({"svg.fonttype": "none", "svg.hashsalt": "fox", "font.size": 8}):
        figure, axes = plt.subplots(1, 3, figsize=(12, 4.4), layout="constrained")
        for axis, (name, (rows, columns)) in zip(axes, sides.items(), strict=True):
            axis.imshow(found[name].mean(0).numpy(), cmap="Blues", vmin=0, vmax=1)
            axis.set_xticks(range(len(columns)), columns, rotation=60, ha="right", rotation_mode="anchor")
            axis.set_yticks(range(len(rows)), rows)
            axis.set_title({"encoder": "encoder", "decoder": "decoder, itself", "cross": "decoder, source"}[name])
            axis.set_xlabel("is looked at")
            axis.set_ylabel("looks")
        figure.savefig(picture, metadata={"Date": None})
        plt.close(figure)


def show(name: str, x: Tensor) -> None:
    print(f"  {name:42}{tuple(x.shape)}")


def close(got: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "fox.svg"))
