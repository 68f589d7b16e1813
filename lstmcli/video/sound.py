"""Takes the sound of a source over: copied where browsers play it in mp4, else encoded as AAC."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, TypeAlias

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer

COPIED = {"aac", "mp3", "opus", "flac"}
"""Codecs that may stand in mp4 and that browsers play there."""
SoundPacket: TypeAlias = "av.Packet[Any]"
_AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)


def _source_track(source: InputContainer) -> AudioStream | None:
    best = source.streams.best("audio")
    return best if isinstance(best, AudioStream) else None


def sound_stream(source: InputContainer, out: OutputContainer) -> AudioStream | None:
    """Add the track for the best sound of the source; None where it has none."""
    track = _source_track(source)
    if track is None:
        return None
    if track.codec_context.codec.canonical_name in COPIED:
        made = out.add_stream_from_template(track, opaque=True)
    else:
        rate = min(_AAC_RATES, key=lambda known: abs(known - track.codec_context.sample_rate))
        made = out.add_stream("aac", rate=rate)
        made.codec_context.layout = "mono" if track.codec_context.channels == 1 else "stereo"
        made.codec_context.bit_rate = 80_000 * made.codec_context.channels
    made.metadata.update({k: v for k, v in track.metadata.items() if k in {"language", "title"}})
    return made


def sound_packets(
    source: InputContainer, made: AudioStream, *, begins_s: float, ends_s: float | None
) -> Iterator[SoundPacket]:
    """Yield the packets of the sound from `begins_s` up to `ends_s`, moved to begin at 0."""
    track = _source_track(source)
    assert track is not None
    if begins_s > 1.0:
        source.seek(int((begins_s - 1.0) * av.time_base))
    if track.codec_context.codec.canonical_name in COPIED:
        yield from _copied(source, track, made, begins_s, ends_s)
    else:
        yield from _encoded(source, track, made, begins_s, ends_s)


def _copied(
    source: InputContainer,
    track: AudioStream,
    made: AudioStream,
    begins_s: float,
    ends_s: float | None,
) -> Iterator[SoundPacket]:
    shift = round(Fraction(begins_s) / (track.time_base or 1))
    for packet in source.demux(track):
        if not packet.size or packet.pts is None:
            continue
        time_s = float(packet.pts * packet.time_base)
        if ends_s is not None and time_s >= ends_s:
            return
        if time_s < begins_s - 1e-6:
            continue
        packet.pts -= shift
        packet.dts = packet.pts
        packet.stream = made
        yield packet


def _encoded(
    source: InputContainer,
    track: AudioStream,
    made: AudioStream,
    begins_s: float,
    ends_s: float | None,
) -> Iterator[SoundPacket]:
    context = made.codec_context
    resampler = av.AudioResampler(context.format, context.layout, context.sample_rate)
    position: int | None = None
    for packet in source.demux(track):
        try:
            sounds = packet.decode()
        except av.error.FFmpegError:
            continue  # a broken packet is a short silence
        for sound in sounds:
            if sound.time is None or sound.time < begins_s - 1e-6:
                continue
            if ends_s is not None and sound.time >= ends_s:
                yield from made.encode(None)
                return
            if position is None:
                position = round((sound.time - begins_s) * context.sample_rate)
            sound.pts = None
            for piece in resampler.resample(sound):
                piece.pts, piece.time_base = position, Fraction(1, context.sample_rate)
                position += piece.samples
                yield from made.encode(piece)
    yield from made.encode(None)
