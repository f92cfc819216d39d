"""MIDI files of chords, a list of notes for each step."""

from __future__ import annotations

import importlib
import io
import os
from collections.abc import Sequence
from typing import Any

from fastrnn._checks import as_flag, as_number, as_size
from fastrnn.files.atomic_files import write_atomically

__all__ = ["write_midi"]

_TICKS = 480  # a beat


def write_midi(
    path: str | os.PathLike[str],
    chords: Sequence[Sequence[int]],
    *,
    tempo: float = 100.0,
    steps_per_beat: int = 2,
    velocity: int = 72,
    tied: bool = True,
) -> None:
    """Write chords as a MIDI file, for which the package ``mido`` is needed.

    Parameters
    ----------
    path : path
        Written atomically.
    chords : list of list of int
        For each step its notes, MIDI numbers in 0 .. 127 (60 is middle C); no notes are a rest.
    tempo : float, default 100.0
        Beats a minute.
    steps_per_beat : int, default 2
        A divisor of 480, the ticks of a beat.
    velocity : int, default 72
        How hard notes are struck, in 1 .. 127.
    tied : bool, default True
        Whether a note that is in the next step, too, is held instead of struck again.

    Raises
    ------
    ValueError
        If a note or a number is out of range, or there are no steps.
    TypeError
        If a note is not an integer.
    ImportError
        If ``mido`` is not installed.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> from fastrnn.interop import write_midi
    >>> write_midi("chorale.mid", [[60, 64, 67], [60, 65, 69], []])  # doctest: +SKIP
    """
    steps = [
        sorted(
            {as_size(f"chords[{step}][{order}]", note, least=0, most=127) for order, note in enumerate(chord)}
        )
        for step, chord in enumerate(chords)
    ]
    if not steps:
        raise ValueError("chords: expected at least one step, got none")
    each = as_size("steps_per_beat", steps_per_beat)
    if _TICKS % each:
        raise ValueError(f"steps_per_beat: expected a divisor of {_TICKS}, got {each}")
    force = as_size("velocity", velocity, least=1, most=127)
    beats = as_number("tempo", tempo, least=4.0, most=1000.0)  # MIDI holds no slower one than 3.6
    tied = as_flag("tied", tied)
    mido = _mido()
    file = mido.MidiFile(type=0, ticks_per_beat=_TICKS)
    track = mido.MidiTrack()
    file.tracks.append(track)
    track.append(mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(beats)))
    sounding: list[int] = []
    waited = 0
    for chord in [*steps, []]:
        ending = [note for note in sounding if not (tied and note in chord)]
        starting = [note for note in chord if not (tied and note in sounding)]
        for kind, notes in (("note_off", ending), ("note_on", starting)):
            for note in notes:
                loud = force if kind == "note_on" else 0
                track.append(mido.Message(kind, note=note, velocity=loud, time=waited))
                waited = 0
        sounding = chord
        waited += _TICKS // each
    # A rest at the end lasts to the end of the track.
    track.append(mido.MetaMessage("end_of_track", time=waited - _TICKS // each))
    content = io.BytesIO()
    file.save(file=content)
    write_atomically(path, content.getvalue())


def _mido() -> Any:
    try:
        return importlib.import_module("mido")
    except ImportError as error:
        raise ImportError('write_midi needs mido: pip install "fastrnn[midi]"') from error
