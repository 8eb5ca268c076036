"""Whisper's encoder as transformers has it, both ways, and its stem as the one of our recordings."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from zaowu.config import AttentionConfig, PositionConfig, TrunkConfig
from zaowu.errors import UserError
from zaowu.inputs.audio.embedder import Stem
from zaowu.trunk import families
from zaowu.trunk.families import whisper
from zaowu.trunk.transformer.encoder import Encoder

MELS, PLACES, DIM = 8, 12, 16
SIZES = {
    "d_model": DIM,
    "encoder_layers": 2,
    "encoder_attention_heads": 4,
    "encoder_ffn_dim": 24,
    "max_source_positions": PLACES,
    "num_mel_bins": MELS,
    "vocab_size": 30,
    "decoder_layers": 1,
    "decoder_attention_heads": 4,
    "decoder_ffn_dim": 24,
    "pad_token_id": 1,
    "bos_token_id": 1,
    "eos_token_id": 1,
    "decoder_start_token_id": 1,
    "init_std": 0.3,
}
TRUNK = TrunkConfig(
    dim=DIM,
    num_layers=2,
    ffn_dim=24,
    activation="gelu_tanh",
    norm_place="before",
    norm_eps=1e-5,
    num_segments=0,
    entry_norm=False,
    positions=PositionConfig(max_positions=PLACES),
    attention=AttentionConfig(num_heads=2, dropout=0.1),
)


def their_model(kind: type, **more):
    torch.manual_seed(0)
    model = kind(transformers.WhisperConfig(**{**SIZES, **more})).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("bias") or "norm" in name:  # those start at 0 and 1, and would prove nothing
                weight.add_(torch.randn_like(weight) * 0.2)
    return model


def ours(config: TrunkConfig, facts: dict[str, int], state: dict[str, torch.Tensor]) -> tuple[Stem, Encoder]:
    stem, encoder = Stem(facts["num_mels"], config.dim, frames=2).eval(), Encoder(config).eval()
    stem.load_state_dict({name[9:]: tensor for name, tensor in state.items() if name.startswith("embedder.")})
    encoder.load_state_dict({name[6:]: tensor for name, tensor in state.items() if name.startswith("trunk.")})
    return stem, encoder


def read(folder: Path) -> tuple[TrunkConfig, dict[str, int], dict[str, torch.Tensor]]:
    data = json.loads((folder / "config.json").read_text("utf-8"))
    config, facts = families.find(data["model_type"]).read_config(data)
    places = whisper.names(config, facts)
    return config, facts, families.load_tensors(folder / "model.safetensors", places, config=config, facts=facts)


def states(stem: Stem, encoder: Encoder, frames: torch.Tensor) -> torch.Tensor:
    """frames: (B, F, M) -> (B, F / 2, D)."""
    vectors = stem(frames.unflatten(1, (-1, 2)))
    places = torch.arange(vectors.shape[1]).expand(vectors.shape[:2])
    return encoder(vectors, mask=torch.ones_like(places).bool(), positions=places, segments=torch.zeros_like(places))


def sounds() -> torch.Tensor:
    return torch.randn(3, 2 * PLACES, MELS, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    "kind",
    [
        WhisperEncoder,
        transformers.WhisperModel,
        transformers.WhisperForConditionalGeneration,
        transformers.WhisperForAudioClassification,
    ],
    ids=lambda kind: kind.__name__,
)
def test_theirs_opened_by_us(kind, tmp_path):
    theirs = their_model(kind)
    theirs.save_pretrained(tmp_path)
    encoder = theirs if kind is WhisperEncoder else theirs.get_encoder() if "For" not in kind.__name__ else None
    if encoder is None:
        encoder = theirs.model.encoder if hasattr(theirs, "model") else theirs.encoder
    config, facts, state = read(tmp_path)
    assert facts == {"num_mels": MELS}
    stem, trunk = ours(config, facts, state)
    frames = sounds()
    expected = encoder(frames.transpose(1, 2)).last_hidden_state
    got = states(stem, trunk, frames)
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)

    toward = torch.randn(got.shape, generator=torch.Generator().manual_seed(2))
    encoder.embed_positions.requires_grad_(True)
    for parameter in encoder.parameters():
        parameter.grad = None
    (got * toward).sum().backward()
    (encoder(frames.transpose(1, 2)).last_hidden_state * toward).sum().backward()
    grads = dict(encoder.named_parameters())
    for name, place in whisper.names(config, facts).items():
        first, _, rest = place.name.partition(".")
        mine = (stem if first == "embedder" else trunk).get_parameter(rest).grad
        expected = torch.zeros_like(mine) if place.absent else grads[name].grad
        torch.testing.assert_close(mine, expected, rtol=1e-4, atol=1e-4, msg=name)


def test_ours_opened_by_them(tmp_path):
    """From scratch to their class; a bias that the keys have learned here says nothing, and is left out."""
    facts = {"num_mels": MELS}
    torch.manual_seed(0)
    parts = {"trunk": Encoder(TRUNK), "embedder": Stem(MELS, DIM, frames=2)}
    state = {
        f"{name}.{key}": torch.randn_like(tensor) * 0.3
        for name, part in parts.items()
        for key, tensor in part.state_dict().items()
    }
    stem, trunk = ours(TRUNK, facts, state)
    config = whisper.write_config(TRUNK, facts)
    (tmp_path / "config.json").write_text(json.dumps(config), "utf-8")
    families.save_tensors(tmp_path / "model.safetensors", state, whisper.names(TRUNK, facts))
    theirs, info = WhisperEncoder.from_pretrained(tmp_path, output_loading_info=True)
    assert {name: found for name, found in info.items() if found} == {}
    frames = sounds()
    with torch.no_grad():
        expected = theirs.eval()(frames.transpose(1, 2)).last_hidden_state
        got = states(stem, trunk, frames)
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)

    back = read(tmp_path)
    assert (back[0], back[1]) == (TRUNK, facts)
    assert back[2].keys() == state.keys()
    for name in state:
        assert torch.equal(back[2][name], state[name] * ("key.bias" not in name)), name


@pytest.mark.filterwarnings("ignore")
def test_a_class_of_theirs_with_a_decoder_refuses_ours(tmp_path):
    facts = {"num_mels": MELS}
    (tmp_path / "config.json").write_text(json.dumps(whisper.write_config(TRUNK, facts)), "utf-8")
    state = {f"trunk.{name}": tensor for name, tensor in Encoder(TRUNK).state_dict().items()}
    state |= {f"embedder.{name}": tensor for name, tensor in Stem(MELS, DIM, frames=2).state_dict().items()}
    families.save_tensors(tmp_path / "model.safetensors", state, whisper.names(TRUNK, facts))
    with pytest.raises(Exception):  # noqa: B017 - whatever theirs raises
        transformers.AutoModel.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"d_model": "16"}, "'d_model'"),
        ({"d_model": 18}, "'encoder_attention_heads': expected a divisor"),
        ({"num_mel_bins": 10**9}, "'num_mel_bins'"),
        ({"max_source_positions": -1}, "'max_source_positions'"),
        ({"activation_function": "mish"}, "'activation_function'"),
        ({"dropout": 2}, "'dropout'"),
    ],
)
def test_configs_that_the_trunk_cannot_hold_are_refused(change, word):
    assert whisper.read_config(SIZES)[0].dim == DIM
    with pytest.raises(UserError, match=word) as caught:
        whisper.read_config({**SIZES, **change}, where="some/config.json")
    assert "some/config.json" in str(caught.value)


def test_absent_fields_are_what_their_library_takes_them_for():
    assert whisper.read_config({}) == whisper.read_config(transformers.WhisperConfig().to_dict())


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"norm_place": "after"}, "norm_place"),
        ({"norm_eps": 1e-12}, "norm_eps"),
        ({"num_segments": 1}, "num_segments"),
        ({"entry_norm": True}, "entry_norm"),
        ({"positions": PositionConfig(kind="sinusoidal")}, "positions.kind"),
        ({"attention": AttentionConfig(num_heads=4, num_groups=2)}, "num_groups"),
        ({"attention": AttentionConfig(num_heads=4, bias=False)}, "attention.bias"),
    ],
)
def test_trunks_that_their_class_cannot_hold_are_refused(change, word):
    assert whisper.write_config(TRUNK, {"num_mels": MELS})["model_type"] == "whisper"
    with pytest.raises(UserError, match=word):
        whisper.write_config(replace(TRUNK, **change), {"num_mels": MELS})


@pytest.mark.parametrize("how", ["missing", "shape", "no stem"])
def test_files_that_do_not_fit_their_config_are_refused(how, tmp_path):
    their_model(WhisperEncoder).save_pretrained(tmp_path)
    read(tmp_path)
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    if how == "missing":
        del tensors["layers.1.fc1.weight"]
    elif how == "shape":
        tensors["conv2.weight"] = tensors["conv2.weight"][:, :, :2].contiguous()
    else:
        del tensors["conv1.weight"]
    save_file(tensors, path)
    with pytest.raises(UserError, match=r"fc1|conv"):
        read(tmp_path)
