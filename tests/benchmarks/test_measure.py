"""The plumbing of the benchmarks: `benchmarks/shared/measure.py`."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from shared import measure
from shared.measure import Lead, Rows, Spread

BYTES = 300_000_000


def test_a_cell_is_measured_once(tmp_path):
    out, calls = Rows(tmp_path / "new" / "rows.jsonl"), []

    def work():
        calls.append(1)
        return {"seconds": len(calls)}

    assert out.measured({"case": "a", "seed": 0}, work) == {"case": "a", "seed": 0, "seconds": 1}
    assert out.measured({"case": "a", "seed": 0}, work)["seconds"] == 1
    assert out.measured({"case": "a", "seed": 1}, work)["seconds"] == 2
    assert [row["seed"] for row in out.read()] == [0, 1]


def test_a_line_that_a_kill_cut_short_is_measured_again(tmp_path):
    out = Rows(tmp_path / "rows.jsonl")
    out.append({"case": "a", "seconds": 1})
    with out.path.open("a") as file:
        file.write('{"case": "b", "sec')
    assert out.find(case="b") is None
    out.append({"case": "b", "seconds": 2})
    assert out.read() == [{"case": "a", "seconds": 1}, {"case": "b", "seconds": 2}]


def test_every_name_has_its_turn_and_begins_a_round():
    turns = list(measure.in_turn(["a", "b", "c"], 3))
    assert [name for number, name in turns if number == 1] == ["b", "c", "a"]
    assert sorted(turns) == [(number, name) for number in range(3) for name in "abc"]
    assert {turns[0][1], turns[3][1], turns[6][1]} == {"a", "b", "c"}


def test_a_spread_is_the_median_and_the_ends():
    assert str(Spread.of([3.0, 1.0, 2.0])) == "2 (1 to 3)"


def test_flops_are_those_of_torchs_own_count():
    """The oracle counts the products of torch's own encoder; one text of 7 tokens, so that nothing is padding."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    layers, dim, ffn_dim, tokens, outputs = 3, 16, 40, 7, 5
    layer = torch.nn.TransformerEncoderLayer(dim, 2, ffn_dim, dropout=0.0, batch_first=True)
    encoder = torch.nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
    head = torch.nn.Linear(dim, outputs)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        head(encoder(torch.randn(1, tokens, dim)).mean(1))
    sizes = {"layers": layers, "dim": dim, "ffn_dim": ffn_dim, "outputs": outputs}
    assert measure.encoder_flops([tokens], **sizes, training=False) == counter.get_total_flops()
    assert measure.encoder_flops([tokens, tokens], **sizes) == 6 * counter.get_total_flops()


def test_the_peak_of_products_is_above_zero():
    assert measure.product_peak("float32", seconds=0.01) > 1e6


def test_memory_of_a_command_is_its_own():
    """What this process holds is not counted, what the command holds is."""
    ballast = bytearray(BYTES)
    ballast[:: 1 << 12] = b"x" * len(ballast[:: 1 << 12])
    small = measure.succeeded([sys.executable, "-c", "import time; time.sleep(0.3)"])
    code = f"import time; data = b'x' * {BYTES}; time.sleep(0.3)"
    large = measure.succeeded([sys.executable, "-c", code])
    assert small.mb < 100 and large.mb > BYTES / 1e6
    assert measure.peak_mb() > BYTES / 1e6 and len(ballast) == BYTES


def test_a_command_is_killed_or_fails_loudly():
    killed = measure.finished([sys.executable, "-c", "import time; time.sleep(60)"], kill_when=lambda: True)
    assert killed.code == -9 and killed.seconds < 30
    said = measure.succeeded([sys.executable, "-c", "print('x' * 200_000)"])
    assert len(said.output) == 200_001
    with pytest.raises(RuntimeError, match="exit status 3"):
        measure.succeeded([sys.executable, "-c", "raise SystemExit(3)"])


def test_a_lead_has_both_intervals():
    """Over seeds by hand: differences of 20 and 40 points, mean 30, t(1 degree) 12.706 x 14.142 / sqrt(2) = 127.06."""
    lead = Lead.of(["1111100000", "1111110000"], ["1110000000", "1100000000"])
    assert lead.points == pytest.approx(30) and lead.seeds == pytest.approx((30 - 127.06, 30 + 127.06), abs=0.1)
    assert lead.rows[0] < 30 < lead.rows[1] and lead.is_noise and "+30.00 points" in str(lead)
    sure = Lead.of(["1" * 400] * 3, ["1" * 300 + "0" * 100] * 3)
    assert not sure.is_noise and sure.seeds == (25.0, 25.0)
    assert Lead.of(["10" * 20], ["01" * 20]).seeds is None
