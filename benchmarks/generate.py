"""Writing beside transformers' `generate`, on the same weights: speed against the memory's, and the same tokens.

    python benchmarks/generate.py --part speed [--rounds 5] [--tokens 48] [--shape 124m]
    python benchmarks/generate.py --part equal [--shape 124m]

speed: GPT-2's shape (124 M) with random weights. With one row, every token reads all weights once, so the limit is
what the memory gives: measured before every run, as the faster of two ways to read 0.5 GB that lies in large pages.
Then, in turn: theirs in float32 and in bfloat16 (sdpa attention, its cache), ours in both; one text, eight texts, four
beams, and eight texts with four beams each. Prompts of 16 tokens; tokens per second of all texts, the reading of the
prompts included, and of the tokens behind the first alone, which the limit is for; medians of the rounds.

equal: logits of 512 tokens, told one by one to ours and at once to theirs; and, with a small model that was
pre-trained on the embedded news for a minute, the tokens of greedy and beam search.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from shared import measure
from shared.measure import Rows
from torch import Tensor

import zaowu
from zaowu.config import WriteConfig
from zaowu.decode.search import beam_search, one_by_one
from zaowu.learn import read_base
from zaowu.run.language import open_language, read_writer
from zaowu.trunk.kernels.write import pages
from zaowu.trunk.transformer.decoder.writer import Writer

SHAPES = {
    "124m": {},
    "tiny": {"n_embd": 32, "n_layer": 2, "n_head": 2, "vocab_size": 200, "eos_token_id": 0, "bos_token_id": 0},
}
PROMPT, CPU = 16, torch.device("cpu")
CELLS = {"one text": (1, 1), "eight texts": (8, 1), "four beams": (1, 4), "eight texts, four beams": (8, 4)}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("speed", "equal"), required=True)
    parser.add_argument("--shape", choices=SHAPES, default="124m")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--steps", type=int, default=300, help="of the small model's pre-training")
    parser.add_argument("--cells", nargs="*", choices=CELLS, default=list(CELLS))
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--out", type=Path, default=Path("generate.jsonl"))
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    rows = Rows(given.out)
    with tempfile.TemporaryDirectory() as folder:
        if given.part == "speed":
            speed(Path(folder), rows, given)
        else:
            rows.measured({"cell": "logits", "shape": given.shape}, lambda: logits(Path(folder), given.shape))
            rows.measured({"cell": "tokens", "steps": given.steps}, lambda: tokens(Path(folder), given.steps))


def models(folder: Path, shape: str) -> tuple[Any, dict[str, Writer]]:
    """Theirs with random weights, in fp32, and ours with the same ones."""
    import transformers

    torch.manual_seed(0)
    theirs = transformers.GPT2LMHeadModel(transformers.GPT2Config(**SHAPES[shape])).eval()
    theirs.save_pretrained(folder)
    base = read_base(folder)
    return theirs, {name: read_writer(base, device=CPU, dtype=dtype)[0] for name, dtype in DTYPES.items()}


def speed(folder: Path, rows: Rows, given: argparse.Namespace) -> None:
    theirs, ours = models(folder, given.shape)
    low = type(theirs)(theirs.config).to(torch.bfloat16).eval()
    low.load_state_dict(theirs.state_dict())
    low.tie_weights()
    size = sum(weight.numel() for name, weight in theirs.named_parameters() if not name.endswith("wpe.weight"))
    probe = pages(2**27 if given.shape == "124m" else 2**18, torch.float32).fill_(1.0)
    for name in given.cells:
        num, beams = CELLS[name]
        ids = torch.randint(5, theirs.config.vocab_size, (num, PROMPT), generator=torch.Generator().manual_seed(1))

        def cell(name: str = name, num: int = num, beams: int = beams, ids: Tensor = ids) -> dict[str, Any]:
            sides: dict[str, Callable[[int], object]] = {
                "theirs fp32": lambda count: write_theirs(theirs, ids, beams, count),
                "theirs bf16": lambda count: write_theirs(low, ids, beams, count),
                "ours fp32": lambda count: write_ours(ours["fp32"], ids, beams, count),
                "ours bf16": lambda count: write_ours(ours["bf16"], ids, beams, count),
            }
            for run in sides.values():
                run(2)
            seconds: dict[str, list[float]] = {side: [] for side in sides}
            further: dict[str, list[float]] = {side: [] for side in sides}
            limits = []
            for _ in range(given.rounds):
                for side, run in sides.items():
                    limits.append(bandwidth(probe))
                    first, whole = (timed(run, count) for count in (1, given.tokens))
                    seconds[side].append(whole)
                    further[side].append((whole - first) / (given.tokens - 1))
            found = {side: num * given.tokens / statistics.median(times) for side, times in seconds.items()}
            steps = {side: num / statistics.median(times) for side, times in further.items()}
            gb_s = statistics.median(limits)
            limit = gb_s * 1e9 / (4 * size)
            return {
                "tokens/s": {side: round(figure, 1) for side, figure in found.items()},
                "tokens/s behind the first": {side: round(figure, 1) for side, figure in steps.items()},
                "memory, GB/s": [round(figure, 1) for figure in (min(limits), gb_s, max(limits))],
                "limit of one text in fp32, tokens/s": round(limit, 1),
                "ours fp32 / limit": round(steps["ours fp32"] / limit, 3) if num * beams == 1 else None,
                "ours fp32 / theirs fp32": round(found["ours fp32"] / found["theirs fp32"], 2),
                "ours bf16 / theirs fp32": round(found["ours bf16"] / found["theirs fp32"], 2),
                "ours bf16 / theirs best": round(
                    found["ours bf16"] / max(found["theirs fp32"], found["theirs bf16"]), 2
                ),
                "machine": measure.machine(),
            }

        rows.measured({"cell": name, "shape": given.shape, "tokens": given.tokens}, cell)


def timed(run: Callable[[int], object], count: int) -> float:
    start = time.perf_counter()
    run(count)
    return time.perf_counter() - start


def bandwidth(probe: Tensor) -> float:
    """GB/s of reading, as long as some tokens take: of a sum and of a matrix times a vector, the one faster at most
    times."""
    matrix, vector = probe.view(-1, 512), torch.ones(512)
    reads: tuple[Callable[[], object], ...] = (probe.sum, lambda: matrix @ vector)
    best = min(statistics.median(timed(lambda _, read=read: read(), 1) for _ in range(9)) for read in reads)
    return probe.numel() * 4 / best / 1e9


@torch.inference_mode()
def write_theirs(model: Any, ids: Tensor, beams: int, count: int) -> list[list[int]]:
    how = {"max_new_tokens": count, "min_new_tokens": count, "do_sample": False, "num_beams": beams}
    out = model.generate(ids, attention_mask=torch.ones_like(ids), pad_token_id=0, **how)
    return out[:, ids.shape[1] :].tolist()


def write_ours(
    writer: Writer, ids: Tensor, beams: int, count: int, ends: frozenset[int] = frozenset()
) -> list[list[int]]:
    mask = torch.ones_like(ids, dtype=torch.bool)
    state_and_logits = writer.begin(ids, mask, each=beams)
    named: dict[str, Any] = {"beginnings": ids.tolist(), "rooms": [count] * len(ids), "ends": ends}
    config = WriteConfig(beams=beams)
    if beams > 1:
        best = beam_search(writer.step, state_and_logits[1], state_and_logits[0], **named, config=config)
        return [list(found[0].tokens) for found in best]
    texts: list[list[int]] = [[] for _ in ids]
    for told in one_by_one(writer.step, state_and_logits[1], state_and_logits[0], **named, config=config):
        for one in told:
            if one.reason != "end":
                texts[one.row].append(one.token)
    return texts


def logits(folder: Path, shape: str) -> dict[str, Any]:
    """The largest difference over 512 tokens."""
    theirs, ours = models(folder, shape)
    ids = torch.randint(5, theirs.config.vocab_size, (1, 512), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = theirs(ids).logits[0]
    found, state = ours["fp32"].begin(ids[:, :1], torch.ones(1, 1, dtype=torch.bool))
    most = float((found[0] - expected[0]).abs().max())
    for place in range(1, 512):
        found, state = ours["fp32"].step(state, ids[:, place])
        most = max(most, float((found[0] - expected[place]).abs().max()))
    return {"largest difference": most, "largest logit": float(expected.abs().max())}


def tokens(folder: Path, steps: int) -> dict[str, Any]:
    """How many of a trained model's tokens are theirs."""
    import transformers

    text = (files("zaowu.tasks") / "data" / "news_zh.csv").read_text("utf-8")
    lines = [line.rpartition(",")[0] for line in text.splitlines()[1:]]
    (folder / "news.txt").write_text("\n".join(lines), "utf-8")
    how: dict[str, Any] = {"size": "mini", "length": 64, "precision": "fp32", "settings": {"held_out": 0}}
    zaowu.pretrain(folder / "news.txt", objective="causal", steps=steps, out=folder / "base", quiet=True, **how)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder / "base").eval()
    language = open_language(folder / "base", device=CPU, precision_name="fp32")
    right = {"greedy": 0, "beams": 0}
    prompts = [language.prompts([line])[0][:6] for line in lines[:50]]
    for name, beams in (("greedy", 1), ("beams", 4)):
        for prompt in prompts:
            ids = torch.tensor([prompt])
            (expected,) = write_theirs(theirs, ids, beams, 48)
            (got,) = write_ours(language.writer, ids, beams, 48)
            right[name] += got == expected
    return {"texts": len(prompts), "equal, greedy": right["greedy"], "equal, beams": right["beams"]}


if __name__ == "__main__":
    main()
