"""Deinterlaces pictures from the first interlaced one on."""

from __future__ import annotations

from collections.abc import Iterator

import av
from av.video.stream import VideoStream

from lstmcli.video.read_report import ReadReport


def deinterlace(
    pictures: Iterator[av.VideoFrame], stream: VideoStream, report: ReadReport
) -> Iterator[av.VideoFrame]:
    """Deinterlace from the first interlaced frame on; one frame in, one frame out."""
    graph: av.filter.Graph | None = None
    form: tuple[int, int, str] | None = None
    for picture in pictures:
        report.deinterlaced += picture.interlaced_frame
        now = (picture.width, picture.height, picture.format.name)
        if graph is not None and now != form:  # a graph is made for one size and format
            graph.vpush(None)
            yield from _pull(graph)
            graph = None
        if graph is None and picture.interlaced_frame:
            graph, form = _deinterlacer(picture, stream), now
        if graph is None:
            yield picture
            continue
        graph.vpush(picture)
        yield from _pull(graph)
    if graph is not None:
        graph.vpush(None)
        yield from _pull(graph)


def _deinterlacer(picture: av.VideoFrame, stream: VideoStream) -> av.filter.Graph:
    """Return a graph for pictures of this one's size and format."""
    graph = av.filter.Graph()
    graph.link_nodes(
        graph.add_buffer(
            template=stream,
            width=picture.width,
            height=picture.height,
            format=picture.format,
            time_base=picture.time_base,
        ),
        graph.add("bwdif", "mode=send_frame:deint=interlaced"),
        graph.add("buffersink"),
    ).configure()
    return graph


def _pull(graph: av.filter.Graph) -> Iterator[av.VideoFrame]:
    while True:
        try:
            yield graph.vpull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
