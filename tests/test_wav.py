"""WAV files as floats, and log-mel features."""

import io
import os
import struct
import sys
import wave
from types import SimpleNamespace

import numpy as np
import pytest

from fastrnn.data import log_mel, mel_filters, read_wav

RATE = 8000


def wav(samples, width=2, channels=1, rate=RATE):
    """Return the bytes of a file of these integers."""
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setparams((channels, width, rate, 0, "NONE", ""))
        file.writeframes(
            b"".join(int(value).to_bytes(width, "little", signed=width > 1) for value in samples)
        )
    return content.getvalue()


def tone(frequency, seconds=0.1, rate=RATE):
    return np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


@pytest.fixture
def write(tmp_path):
    def write_file(content):
        path = tmp_path / "a.wav"
        path.write_bytes(content)
        return path

    return write_file


@pytest.mark.parametrize(
    ("width", "samples", "expected"),
    [
        (1, [0, 128, 192, 255], [-1, 0, 0.5, 127 / 128]),
        (2, [-(2**15), 0, 2**14, 1], [-1, 0, 0.5, 2**-15]),
        (3, [-(2**23), 0, 2**22, 1], [-1, 0, 0.5, 2**-23]),
        (4, [-(2**31), 0, 2**30, 2**8], [-1, 0, 0.5, 2**-23]),
    ],
)
def test_samples_of_every_width_lie_between_minus_one_and_one(width, samples, expected, write):
    values, rate = read_wav(write(wav(samples, width)))
    assert (values.dtype, rate) == (np.float32, RATE)
    assert values.tolist() == expected


@pytest.mark.parametrize("width", [1, 2, 3])
def test_channels_are_mixed_down_to_their_mean(width, write):
    half, zero = (192, 128) if width == 1 else (2 ** (8 * width - 2), 0)
    values, _ = read_wav(write(wav([half, zero, zero, zero, half, half], width, channels=2, rate=44100)))
    assert values.tolist() == [0.25, 0, 0.5]


def with_format(tag, bits=16, extra=b""):
    header = struct.pack("<HHIIHH", tag, 1, RATE, RATE * bits // 8, bits // 8, bits) + extra
    body = b"WAVEfmt " + struct.pack("<I", len(header)) + header + b"data" + struct.pack("<I", 4) + bytes(4)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def extensible(sub_format):
    guid = struct.pack("<H", sub_format) + bytes.fromhex("000000001000800000aa00389b71")
    return with_format(0xFFFE, extra=struct.pack("<HHI", 22, 16, 4) + guid)


def test_pcm_in_the_extensible_format_is_read(write):
    assert read_wav(write(extensible(1)))[0].tolist() == [0, 0]


@pytest.mark.parametrize(
    "content",
    [with_format(3, 32), with_format(6, 8), with_format(2, 4), extensible(3)],
    ids="float a-law adpcm ext".split(),
)
def test_compressed_samples_and_floats_are_refused(content, write):
    with pytest.raises(ValueError, match=r"a\.wav: expected a WAV file of PCM samples"):
        read_wav(write(content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected a WAV file of PCM samples .*: the file ends too early"),
        (b"no sound, but long enough for a header", "expected a WAV file of PCM samples"),
        (wav([1, 2, 3])[:-2], "expected 3 samples, as its header says, but the file ends after 2"),
        (wav([]), "expected at least one sample"),
        (with_format(1, 64), "expected samples of 8, 16, 24 or 32 bits"),
    ],
)
def test_what_is_no_sound_is_refused_by_name(content, message, write):
    with pytest.raises(ValueError, match=rf"a\.wav: {message}"):
        read_wav(write(content))


def test_every_cut_header_is_a_value_error(write):
    whole = extensible(1)
    for size in range(len(whole)):
        with pytest.raises(ValueError, match=r"a\.wav: "):
            read_wav(write(whole[:size]))


def test_standard_input_may_have_a_size_that_its_writer_did_not_know(monkeypatch):
    content = bytearray(wav([2**14, 0]))
    content[40:44] = b"\xff" * 4
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(bytes(content))))
    assert read_wav("-")[0].tolist() == [0.5, 0]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes in its file system")
def test_a_pipe_is_refused_and_never_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        read_wav(tmp_path / "pipe")


def test_the_filterbank_has_the_weights_computed_by_hand():
    # mel of 1000, 2000, 3000, 4000 Hz: 999.99, 1521.36, 1876.46, 2146.06; points 715.35 apart
    hand = [[0, 0.60211, 0, 0, 0], [0, 0.39789, 0.87327, 0.37687, 0]]
    np.testing.assert_allclose(mel_filters(8000, 8, 2), hand, atol=5e-5)  # of mels to two decimals


def test_between_the_outer_bands_the_weights_of_a_frequency_sum_to_one():
    weights = mel_filters(16000, 512, 26, low=100, high=7000)
    frequencies = np.arange(257) * 16000 / 512
    sums = weights.sum(axis=0)
    assert not sums[(frequencies < 100) | (frequencies > 7000)].any()
    np.testing.assert_allclose(sums[(frequencies > 250) & (frequencies < 6000)], 1, atol=1e-12)


@pytest.mark.parametrize("band", [3, 10, 20, 30, 38])
def test_a_pure_tone_lands_in_its_band(band):
    mel = 2595 * np.log10(1 + RATE / 2 / 700) * (band + 1) / 41
    features = log_mel(tone(700 * (10 ** (mel / 2595) - 1)), RATE)
    assert (features.argmax(axis=1) == band).all()


def test_a_frame_is_the_energy_of_the_windowed_samples():
    samples = np.random.default_rng(0).uniform(-1, 1, 1000)
    features = log_mel(samples, RATE, bands=20)
    assert (features.shape, features.dtype) == ((11, 20), np.float32)  # 1 + (1000 - 200) // 80
    n, k = np.arange(200), np.arange(129)
    frame = samples[160:360] * np.sin(np.pi * n / 200) ** 2
    spectrum = np.exp(-2j * np.pi * np.outer(k, n) / 256) @ frame
    expected = np.log(mel_filters(RATE, 256, 20) @ np.abs(spectrum) ** 2)
    np.testing.assert_allclose(features[2], expected, rtol=1e-5)


def test_long_sound_has_the_features_of_its_parts():
    samples = np.random.default_rng(0).uniform(-1, 1, 45000)
    whole = log_mel(samples, 1000, window=0.02, bands=4)  # more frames than are transformed at a time
    assert len(whole) == 4499
    np.testing.assert_array_equal(whole[4000:], log_mel(samples[40000:], 1000, window=0.02, bands=4))


def test_short_sound_is_filled_with_zeros_to_one_frame():
    short = tone(1000, 0.01)
    features = log_mel(short, RATE)
    assert features.shape == (1, 40)
    np.testing.assert_array_equal(features, log_mel(np.pad(short, (0, 120)), RATE))


def test_silence_has_the_floor():
    assert (log_mel(np.zeros(800), RATE, floor=1e-8) == np.float32(np.log(1e-8))).all()


def test_normalised_bands_have_mean_zero_and_variance_one_and_silence_stays_zero():
    noise = log_mel(np.random.default_rng(0).uniform(-1, 1, 8000), RATE, normalize=True)
    np.testing.assert_allclose(noise.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(noise.std(axis=0), 1, atol=1e-5)
    np.testing.assert_allclose(log_mel(np.zeros(800), RATE, normalize=True), 0, atol=1e-5)


def test_deltas_are_slopes_over_two_frames_on_either_side():
    samples = np.random.default_rng(0).uniform(-1, 1, 1000)
    plain, both = log_mel(samples, RATE), log_mel(samples, RATE, deltas=2)
    assert both.shape == (11, 120)
    np.testing.assert_array_equal(both[:, :40], plain)
    hand = (plain[5] - plain[3] + 2 * (plain[6] - plain[2])) / 10
    np.testing.assert_allclose(both[4, 40:80], hand, atol=1e-5)
    first = (plain[1] - plain[0] + 2 * (plain[2] - plain[0])) / 10
    np.testing.assert_allclose(both[0, 40:80], first, atol=1e-5)
    np.testing.assert_array_equal(log_mel(samples, RATE, deltas=1), both[:, :80])


@pytest.mark.parametrize(
    ("samples", "options", "message"),
    [
        ([], {}, r"samples: expected shape \[T\] with at least one sample, got \[0\]"),
        (np.zeros((2, 3)), {}, r"samples: expected shape \[T\].*got \[2, 3\]"),
        ([0.0, np.nan], {}, r"samples\[1\]: expected a finite number, got nan"),
        ([0.0], {"high": 4001.0}, "high: expected"),
        ([0.0], {"low": 4000.0}, "low: expected"),
        ([0.0], {"window": 1e-5}, "window: expected at least one sample"),
        ([0.0], {"hop": 0.0}, "hop: expected"),
        ([0.0], {"bands": 200}, "bands: expected so few that each has a frequency in it, got 200"),
        ([0.0], {"deltas": 3}, "deltas: expected"),
    ],
)
def test_what_features_refuse_names_the_argument(samples, options, message):
    with pytest.raises(ValueError, match=message):
        log_mel(samples, RATE, **options)


def test_integer_samples_are_refused_since_their_scale_is_unknown():
    with pytest.raises(TypeError, match=r"samples: expected floats in \[-1, 1\], got int16"):
        log_mel(np.zeros(8, np.int16), RATE)


def test_a_damaged_header_is_refused_or_read(tmp_path):
    random, whole = np.random.default_rng(0), wav(range(100))
    path, messages = tmp_path / "a.wav", []
    for _ in range(400):
        content = bytearray(whole)
        content[random.integers(44)] = random.integers(256)
        path.write_bytes(content)
        try:
            read_wav(path)
        except ValueError as error:
            messages.append(str(error))
    assert 100 < len(messages) < 400
    assert all("a.wav: expected" in message for message in messages)
