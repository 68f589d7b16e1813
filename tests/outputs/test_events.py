"""Events reach files, webhooks and brokers; a receiver that fails is reported, never waited for."""

from __future__ import annotations

import contextlib
import gc
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lstmcli.core.errors import ConfigError, OutputError
from lstmcli.outputs import event_delivery, mqtt
from lstmcli.outputs.events import open_event_sink


class Receiver:
    """A webhook that answers with the given codes in turn, then with 204."""

    def __init__(self, codes: list[int] | None = None, *, pause_s: float = 0.0) -> None:
        self.events: list[dict[str, object]] = []
        self.authorization: str | None = None
        outer, left = self, list(codes or [])

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                data = self.rfile.read(int(self.headers["Content-Length"]))
                outer.authorization = self.headers["Authorization"]
                time.sleep(pause_s)
                code = left.pop(0) if left else 204
                if code == 204:
                    outer.events.append(json.loads(data))
                self.send_response(code)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.http.server_address[1]
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_delivery, "PAUSES_S", (0.01, 0.01))
    monkeypatch.setattr(event_delivery, "CLOSE_S", 2.0)


@pytest.fixture
def receiver(request: pytest.FixtureRequest) -> Iterator[Receiver]:
    made = Receiver(getattr(request, "param", None))
    yield made
    made.close()


def until(holds: Callable[[], object]) -> None:
    ends = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < ends, "it did not happen in time"
        time.sleep(0.01)


def test_a_log_grows_by_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "new" / "events.jsonl"
    sink = open_event_sink(str(path), say=print)
    sink.write({"event": "appear", "class": "Vögel"})
    assert json.loads(path.read_text(encoding="utf-8")) == {"event": "appear", "class": "Vögel"}
    assert sink.close() == []


def test_a_log_is_replaced_or_continued_only_when_that_is_wanted(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text("{}\n", encoding="utf-8")
    with pytest.raises(OutputError, match="exists"):
        open_event_sink(str(path), say=print)
    for options, lines in (({"append": True}, 2), ({"overwrite": True}, 1)):
        sink = open_event_sink(str(path), say=print, **options)
        sink.write({})
        sink.close()
        assert len(path.read_text(encoding="utf-8").splitlines()) == lines


def test_an_older_log_stays_until_the_first_event(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text("{}\n{}\n", encoding="utf-8")
    for events, lines in ((1, 1), (0, 0)):
        sink = open_event_sink(str(path), overwrite=True, say=print)
        assert path.read_text(encoding="utf-8") != ""
        for _ in range(events):
            sink.write({})
            assert path.read_text(encoding="utf-8") == "{}\n"
        sink.close()
        assert path.read_text(encoding="utf-8") == "{}\n" * lines
    assert [entry.name for entry in tmp_path.iterdir()] == ["events.jsonl"]


def test_an_unknown_address_is_refused() -> None:
    with pytest.raises(ConfigError, match="ftp"):
        open_event_sink("ftp://host/x", say=print)
    with pytest.raises(ConfigError, match="no host"):
        open_event_sink("http:///x", say=print)


@pytest.mark.parametrize("receiver", [[503, 429]], indirect=True)
def test_a_webhook_gets_every_event_in_order_after_a_moment_of_failure(receiver: Receiver) -> None:
    said: list[str] = []
    sink = open_event_sink(f"http://me:secret@127.0.0.1:{receiver.port}/hook", say=said.append)
    for n in range(5):
        sink.write({"n": n})
    assert sink.close() == []
    assert [event["n"] for event in receiver.events] == [0, 1, 2, 3, 4]
    assert receiver.authorization == "Basic bWU6c2VjcmV0"
    assert said == []


@pytest.mark.parametrize("receiver", [[400]], indirect=True)
def test_a_refused_event_is_reported_once_and_counted(receiver: Receiver) -> None:
    said: list[str] = []
    sink = open_event_sink(f"http://me:secret@127.0.0.1:{receiver.port}/hook", say=said.append)
    sink.write({"n": 0})
    sink.write({"n": 1})
    address = f"http://127.0.0.1:{receiver.port}/hook"
    assert sink.close() == [f"1 of 2 events were not delivered to {address}: HTTP 400"]
    assert said == [f"events are not delivered to {address}: HTTP 400"]
    assert [event["n"] for event in receiver.events] == [1]


def test_a_receiver_that_is_not_there_is_reported() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    sink = open_event_sink(f"http://127.0.0.1:{port}/", say=lambda text: None)
    for _ in range(3):
        sink.write({})
    (note,) = sink.close()
    assert note.startswith("3 of 3 events were not delivered")
    assert "refused" in note


def test_writing_never_waits_for_a_receiver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_delivery, "QUEUE_SIZE", 10)
    monkeypatch.setattr(event_delivery, "CLOSE_S", 0.1)
    hangs = threading.Event()
    sink = event_delivery.EventQueue(lambda data: hangs.wait(5) and None, "x://host", print)
    began = time.monotonic()
    for n in range(1000):
        sink.write({"n": n})
    assert time.monotonic() - began < 1.0
    (note,) = sink.close()
    hangs.set()
    assert note.startswith("1000 of 1000 events were not delivered")
    assert "more events than the receiver takes" in note


class Broker:
    """Answers CONNECT and PUBLISH (QoS 1) of MQTT 3.1.1; keeps (topic, payload).

    Args:
        connections: that it takes, one after the other.
        messages: after which it drops the first connection.
        is_mute: whether it answers nothing.
    """

    def __init__(
        self, *, connections: int = 1, messages: int = 1000, is_mute: bool = False
    ) -> None:
        self.messages: list[tuple[str, bytes]] = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self._limit, self._is_mute = messages, is_mute
        self.thread = threading.Thread(target=self._serve, args=(connections,), daemon=True)
        self.thread.start()

    def _serve(self, connections: int) -> None:
        with self.socket:
            for _ in range(connections):
                client, _ = self.socket.accept()
                self._serve_one(client)
                self._limit = 1000

    def _serve_one(self, client: socket.socket) -> None:
        with client, client.makefile("rb") as stream:
            while head := stream.read(1):
                length = shift = 0
                while True:
                    byte = stream.read(1)[0]
                    length |= (byte & 127) << shift
                    shift += 7
                    if byte < 128:
                        break
                body = stream.read(length)
                if head[0] >> 4 == 14:  # DISCONNECT
                    return
                if self._is_mute:
                    continue
                if head[0] >> 4 == 1:
                    client.sendall(b"\x20\x02\x00\x00")
                elif head[0] >> 4 == 3:
                    size = int.from_bytes(body[:2], "big")
                    self.messages.append((body[2 : 2 + size].decode(), body[4 + size :]))
                    client.sendall(b"\x40\x02" + body[2 + size : 4 + size])
                    if len(self.messages) == self._limit:
                        return


def test_a_broker_gets_every_event() -> None:
    pytest.importorskip("paho.mqtt.client")
    broker = Broker()
    sink = open_event_sink(f"mqtt://127.0.0.1:{broker.port}/yard/events", say=print)
    for n in range(3):
        sink.write({"n": n})
    assert sink.close() == []
    broker.thread.join(5)
    assert not broker.thread.is_alive()  # the client disconnected
    assert [(topic, json.loads(data)["n"]) for topic, data in broker.messages] == [
        ("yard/events", n) for n in range(3)
    ]


def sockets() -> int:
    """Return how many sockets this process holds."""
    held = 0
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            held += str(entry.readlink()).startswith("socket:")
    return held


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts sockets in /proc")
def test_nothing_of_a_broker_stays_open() -> None:
    pytest.importorskip("paho.mqtt.client")
    gc.collect()
    gc.disable()  # it would close what was forgotten
    try:
        before, broker = sockets(), Broker()
        sink = open_event_sink(f"mqtt://127.0.0.1:{broker.port}/yard", say=print)
        sink.write({})
        assert sink.close() == []
        broker.thread.join(5)
        assert sockets() == before
    finally:
        gc.enable()
    assert [one.name for one in threading.enumerate() if "mqtt" in one.name] == []


def test_a_lost_connection_to_a_broker_is_made_anew() -> None:
    pytest.importorskip("paho.mqtt.client")
    broker = Broker(connections=2, messages=2)
    sink = open_event_sink(f"mqtt://127.0.0.1:{broker.port}/yard", say=print)
    for n in range(5):
        sink.write({"n": n})
        until(lambda n=n: len(broker.messages) > min(n, 1))
    assert sink.close() == []
    broker.thread.join(5)
    assert not broker.thread.is_alive()
    assert sorted({json.loads(data)["n"] for _, data in broker.messages}) == list(range(5))


def test_a_broker_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The run goes on when its time to close is over, and the connection ends soon after."""
    pytest.importorskip("paho.mqtt.client")
    monkeypatch.setattr(mqtt, "TIMEOUT_S", 0.5)
    monkeypatch.setattr(event_delivery, "CLOSE_S", 0.1)
    broker = Broker(is_mute=True, connections=3)
    sink = open_event_sink(f"mqtt://127.0.0.1:{broker.port}/yard", say=lambda text: None)
    for _ in range(20):
        sink.write({})
    began = time.monotonic()
    (note,) = sink.close()
    assert time.monotonic() - began < 0.5
    assert note.startswith("20 of 20 events were not delivered")
    until(lambda: not [one for one in threading.enumerate() if "mqtt" in one.name])


def test_a_receiver_that_hangs_loses_its_thread_with_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_delivery, "CLOSE_S", 0.1)
    hangs, hung_up = threading.Event(), threading.Event()
    sink = event_delivery.EventQueue(
        lambda data: hangs.wait(20) and None, "x://host", print, hang_up=hung_up.set
    )
    for n in range(3):
        sink.write({"n": n})
    (note,) = sink.close()
    assert note.endswith("not taken within 0.1 s")
    hangs.set()
    assert hung_up.wait(5)


@pytest.mark.parametrize(
    ("address", "problem"),
    [("mqtt://host", "no topic"), ("mqtt://host/a/#", "no topic"), ("mqtt://host:x/a", "Port")],
)
def test_an_mqtt_address_names_host_port_and_topic(address: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        open_event_sink(address, say=print)
