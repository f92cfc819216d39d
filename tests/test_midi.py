"""Chords as MIDI files."""

import sys

import pytest

from fastrnn.interop import write_midi


def events(mido, path):
    """Return what sounds when: (tick, on or off, note), and the last tick."""
    now, found = 0, []
    (track,) = mido.MidiFile(path).tracks
    for message in track:
        now += message.time
        if message.type in ("note_on", "note_off"):
            found.append((now, message.type.removeprefix("note_"), message.note))
    return found, now


def test_a_note_that_goes_on_is_held(mido, tmp_path):
    path = tmp_path / "a.mid"
    write_midi(path, [[64, 60], [60], [], [60]], steps_per_beat=2)
    assert events(mido, path) == (
        [(0, "on", 60), (0, "on", 64), (240, "off", 64), (480, "off", 60), (720, "on", 60), (960, "off", 60)],
        960,
    )


def test_untied_a_note_that_goes_on_is_struck_again(mido, tmp_path):
    path = tmp_path / "a.mid"
    write_midi(path, [[60], [60]], steps_per_beat=1, tied=False)
    assert events(mido, path)[0] == [(0, "on", 60), (480, "off", 60), (480, "on", 60), (960, "off", 60)]


def test_rests_at_the_end_last(mido, tmp_path):
    path = tmp_path / "a.mid"
    write_midi(path, [[60], [], []], tempo=120, steps_per_beat=4)
    assert events(mido, path)[1] == 360
    assert mido.MidiFile(path).length == pytest.approx(3 / 4 * 60 / 120)
    write_midi(path, [[], []])
    assert events(mido, path) == ([], 480)


@pytest.mark.parametrize(
    ("chords", "options", "message"),
    [
        ([[60], [128]], {}, r"chords\[1\]\[0\]: expected .*128"),
        ([], {}, "chords: expected at least one step"),
        ([[60]], {"steps_per_beat": 7}, "steps_per_beat: expected a divisor of 480, got 7"),
        ([[60]], {"tempo": 0}, "tempo: expected"),
        ([[60]], {"velocity": 0}, "velocity: expected"),
    ],
)
def test_what_is_refused_is_named_and_nothing_is_written(chords, options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        write_midi(tmp_path / "a.mid", chords, **options)
    assert not list(tmp_path.iterdir())


def test_a_note_is_an_integer(tmp_path):
    with pytest.raises(TypeError, match=r"chords\[0\]\[0\]: expected"):
        write_midi(tmp_path / "a.mid", [[60.5]])


def test_without_mido_the_error_says_what_to_type(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mido", None)
    with pytest.raises(ImportError, match=r'pip install "fastrnn\[midi\]"'):
        write_midi(tmp_path / "a.mid", [[60]])
