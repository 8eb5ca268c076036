"""What is filled in when nothing is said, and that what is said stays."""

import pytest

from zaowu.config import TrainConfig
from zaowu.errors import UserError
from zaowu.train.rule import SIZES, fill, from_scratch
from zaowu.trunk.families import llama


@pytest.mark.parametrize("num_records", [10, 600, 5000, 1_000_000])
@pytest.mark.parametrize("from_base", [True, False])
def test_nothing_is_left_open(num_records: int, from_base: bool) -> None:
    filled = fill(TrainConfig(), num_records=num_records, from_base=from_base)
    assert filled.epochs and filled.batch_size and filled.lr
    assert filled.batch_size <= 64


def test_what_a_person_chose_stays() -> None:
    chosen = TrainConfig(epochs=1, batch_size=3, lr=0.5, warmup=0.0, label_smoothing=0.0)
    assert fill(chosen, num_records=100, from_base=True) == chosen


def test_few_records_take_more_epochs_of_smaller_batches() -> None:
    few, many = (fill(TrainConfig(), num_records=n, from_base=True) for n in (200, 20_000))
    assert few.epochs > many.epochs
    assert few.batch_size < many.batch_size


def test_sizes_from_scratch() -> None:
    assert from_scratch("mini", max_positions=64).dim < from_scratch("small", max_positions=64).dim
    assert from_scratch("mini", max_positions=64).positions.max_positions == 64
    with pytest.raises(UserError, match="Did you mean 'small'"):
        from_scratch("smal", max_positions=64)


@pytest.mark.parametrize("size", SIZES)
def test_causal_models_from_scratch_are_llamas(size: str) -> None:
    config = from_scratch(size, max_positions=64, causal=True)
    plain = from_scratch(size, max_positions=64)
    assert (config.dim, config.num_layers) == (plain.dim, plain.num_layers)
    assert config.ffn_dim % 32 == 0 and abs(3 * config.ffn_dim - 2 * plain.ffn_dim) < 0.05 * 2 * plain.ffn_dim
    data = llama.write_config(config, {"vocab_size": 9, "pad_id": 0, "position_offset": 0}, heads=("causal",))
    assert llama.read_config(data)[0] == config
    assert all("bias" not in place.name for place in llama.names(config, {"vocab_size": 9}).values())


def test_the_rate_rises_over_fifty_steps_where_there_are_so_many() -> None:
    def warmup(num_records: int) -> float:
        config = TrainConfig(epochs=2, batch_size=10)
        return fill(config, num_records=num_records, from_base=True).warmup

    assert warmup(100) == 0.3  # 20 steps: no more than that share
    assert warmup(1000) == pytest.approx(50 / 200)
    assert warmup(100_000) == 0.06
