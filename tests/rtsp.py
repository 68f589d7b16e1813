"""A camera on the network, for tests: RTSP (RFC 2326) with H.264 over RTP (RFC 6184)."""

from __future__ import annotations

import re
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import av

_RTP_TYPE, _CLOCK, _LARGEST = 96, 90_000, 1200
_SDP = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n"
    f"m=video 0 RTP/AVP {_RTP_TYPE}\r\na=rtpmap:{_RTP_TYPE} H264/{_CLOCK}\r\n"
    f"a=fmtp:{_RTP_TYPE} packetization-mode=1\r\na=control:track\r\n"
)


def rtp_packets(video: Path) -> Iterator[tuple[float, list[bytes]]]:
    """Yield time and RTP packets of every frame of a transport stream in H.264."""
    number = 0
    with av.open(str(video)) as container:
        for packet in container.demux(container.streams.video[0]):
            if packet.pts is None or packet.time_base is None:
                continue
            time_s = float(packet.pts * packet.time_base)
            units = [part for part in re.split(rb"\x00\x00\x00?\x01", bytes(packet)) if part]
            payloads = [payload for unit in units for payload in _payloads(unit)]
            packets = []
            for payload in payloads:
                marker = 0x80 if payload is payloads[-1] else 0
                stamp = round(time_s * _CLOCK) & 0xFFFFFFFF
                head = struct.pack(">BBHII", 0x80, _RTP_TYPE | marker, number & 0xFFFF, stamp, 1)
                packets.append(head + payload)
                number += 1
            yield time_s, packets


def _payloads(unit: bytes) -> list[bytes]:
    """Return a unit as it is, or in fragments (FU-A) where it is too large for a packet."""
    if len(unit) <= _LARGEST:
        return [unit]
    kind, body = unit[0], unit[1:]
    parts = [body[start : start + _LARGEST] for start in range(0, len(body), _LARGEST)]
    flags = [0x80] + [0] * (len(parts) - 2) + [0x40]
    heads = [bytes([kind & 0xE0 | 28, flag | kind & 0x1F]) for flag in flags]
    return [head + part for head, part in zip(heads, parts, strict=True)]


class RtspCamera:
    """Plays a video to every client, a few times; afterwards clients are refused.

    Args:
        video: a transport stream in H.264.
        connections: how many are served.
        over: `tcp` or `udp`; the other transport is refused.
        hangs: afterwards the connection stays open, and nothing comes.
        pause_s: between frames.
    """

    def __init__(
        self,
        video: Path,
        *,
        connections: int = 1,
        over: str = "tcp",
        hangs: bool = False,
        pause_s: float = 0.01,
    ) -> None:
        self.connections = 0
        self.gone = threading.Event()
        frames = list(rtp_packets(video))
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with suppress(ConnectionError):
                    self.talk()

            def talk(self) -> None:
                send: Callable[[bytes], object] | None = None
                while request := self.rfile.readline().decode().split():
                    verb, headers = request[0], self.headers()
                    if verb == "OPTIONS":
                        self.answer(headers, {"Public": "DESCRIBE, SETUP, PLAY, TEARDOWN"})
                    elif verb == "DESCRIBE" and outer.connections >= connections:
                        self.answer(headers, {}, status="404 Not Found")
                        return
                    elif verb == "DESCRIBE":
                        outer.connections += 1
                        self.answer(headers, {"Content-Type": "application/sdp"}, body=_SDP)
                    elif verb == "SETUP":
                        send = self.set_up(headers) or send
                    elif verb == "PLAY" and send is not None:
                        self.answer(headers, {"Session": "1"})
                        self.play(send)
                        return
                    else:
                        self.answer(headers, {}, status="501 Not Implemented")

            def headers(self) -> dict[str, str]:
                pairs = {}
                while line := self.rfile.readline().decode().strip():
                    name, _, value = line.partition(":")
                    pairs[name.lower()] = value.strip()
                return pairs

            def answer(
                self,
                asked: Mapping[str, str],
                headers: Mapping[str, str],
                *,
                status: str = "200 OK",
                body: str = "",
            ) -> None:
                lines = [f"RTSP/1.0 {status}", f"CSeq: {asked['cseq']}"]
                lines += [f"{name}: {value}" for name, value in headers.items()]
                lines += [f"Content-Length: {len(body)}", "", body]
                self.wfile.write("\r\n".join(lines).encode())

            def set_up(self, headers: Mapping[str, str]) -> Callable[[bytes], object] | None:
                asked = headers["transport"]
                if ("/TCP" in asked) != (over == "tcp"):
                    self.answer(headers, {}, status="461 Unsupported Transport")
                    return None
                self.answer(headers, {"Session": "1", "Transport": asked.split(",")[0]})
                if over == "tcp":
                    return lambda packet: self.wfile.write(
                        struct.pack(">cBH", b"$", 0, len(packet)) + packet
                    )
                ports = re.search(r"client_port=(\d+)", asked)
                assert ports is not None
                to = (self.client_address[0], int(ports.group(1)))
                datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                self.datagrams = datagrams
                return lambda packet: datagrams.sendto(packet, to)

            def play(self, send: Callable[[bytes], object]) -> None:
                for _, packets in frames:
                    for packet in packets:
                        send(packet)
                    time.sleep(pause_s)
                if over == "udp":
                    self.datagrams.close()
                if hangs:
                    outer.gone.wait(60)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

        self._server = Server(("127.0.0.1", 0), Handler)
        self.address = f"rtsp://127.0.0.1:{self._server.server_address[1]}/stream"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        """End it; nothing listens afterwards."""
        self.gone.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
