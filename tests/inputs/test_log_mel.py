"""Log-mel features against the feature extractor of transformers, and against torch's Fourier transform."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from made_sounds import tone
from transformers import WhisperFeatureExtractor

from zaowu.inputs.audio.log_mel import log_mel, mel_filters, num_frames


@pytest.mark.parametrize("num_mels", [80, 128])
@pytest.mark.parametrize("seconds", [0.06, 0.777, 3.0])
def test_they_are_whispers(seconds, num_mels):
    wave = tone(seconds).astype(np.float32)
    theirs = WhisperFeatureExtractor(feature_size=num_mels)
    expected = theirs(wave, sampling_rate=16_000, padding="longest", return_tensors="np").input_features[0].T
    got = log_mel(wave, num_mels=num_mels)
    assert got.dtype == np.float32 and got.shape == expected.shape == (num_frames(len(wave)), num_mels)
    np.testing.assert_allclose(got, expected, atol=1e-4, rtol=0)


def test_they_are_what_torch_computes():
    wave = np.random.default_rng(1).normal(size=8000).astype(np.float32)
    spectrum = torch.stft(torch.from_numpy(wave).double(), 400, 160, window=torch.hann_window(400).double(),
                          return_complex=True)[:, :-1].abs() ** 2  # fmt: skip
    logs = torch.log10((torch.from_numpy(mel_filters(80)).T @ spectrum).clamp(min=1e-10))
    expected = (torch.maximum(logs, logs.max() - 8) + 4) / 4
    np.testing.assert_allclose(log_mel(wave), expected.T.numpy(), atol=1e-5)


def test_a_band_is_loud_where_the_tone_is():
    low, high = (log_mel(tone(0.5, hertz=hertz)).mean(0) for hertz in (300.0, 3000.0))
    assert low.argmax() < 15 < 45 < high.argmax() < 65


@pytest.mark.parametrize("samples", [1, 159, 399, 400, 401, 559, 560, 48_000])
def test_the_number_of_frames_is_known_beforehand(samples):
    assert len(log_mel(np.ones(samples, np.float32))) == num_frames(samples) >= 2


def test_a_long_wave_is_cut_into_the_same_frames():
    wave = tone(32.0)
    peak = np.abs(wave).argmax()
    assert peak > 16_000 * 20, "the clamp hangs on the peak, which must be in the part that is compared"
    part = log_mel(wave[16_000 * 20 :])
    np.testing.assert_allclose(log_mel(wave)[2005:], part[5:], atol=1e-5)


def test_silence_has_no_news_and_no_sound_is_refused():
    assert np.ptp(log_mel(np.zeros(1600, np.float32))) == 0
    with pytest.raises(ValueError, match="at least one sample"):
        log_mel(np.zeros(0, np.float32))
