"""What `detect` writes plays in a browser, from the first frame to the last."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from conftest import MakeVideo
from test_detect import TABLE, run

from lstmcli.video import VideoWriter, probe, read_frames

BROWSER = next(
    (
        path
        for name in ("chromium", "chromium-browser", "google-chrome")
        if (path := shutil.which(name))
    ),
    None,
)
PAGE = """<script>
const play = name => new Promise(done => {
  const video = document.createElement("video"), played = {};
  video.muted = true; video.src = name; document.body.appendChild(video);
  video.onerror = () => done({error: video.error.message});
  video.onloadedmetadata = () => Object.assign(played, {width: video.videoWidth,
    height: video.videoHeight, duration: video.duration});
  video.onended = () => done({...played, frames: video.getVideoPlaybackQuality().totalVideoFrames,
    sound: video.webkitAudioDecodedByteCount});
  video.play();
});
onload = async () => {
  const played = {};
  for (const name of NAMES) played[name] = await play(name);
  fetch("/played", {method: "POST", body: JSON.stringify(played)});
};
</script><body></body>"""


def play_all(folder: Path, profile: Path) -> dict[str, dict[str, float]]:
    """Play every video of a folder in a headless browser; return what it tells of each."""
    names = sorted(path.name for path in folder.glob("*.mp4"))
    (folder / "play.html").write_text(PAGE.replace("NAMES", json.dumps(names)), encoding="utf-8")
    played: dict[str, dict[str, float]] = {}
    heard = threading.Event()

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(folder))

        def do_POST(self) -> None:
            played.update(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()
            heard.set()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    flags = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
        "--disable-background-networking --disable-component-update --disable-sync "
        "--autoplay-policy=no-user-gesture-required"
    )
    address = f"http://127.0.0.1:{server.server_address[1]}/play.html"
    browser = subprocess.Popen(
        [str(BROWSER), *flags.split(), f"--user-data-dir={profile}", address],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert heard.wait(180), "the browser reported nothing"
    finally:
        browser.terminate()
        browser.wait(20)
        server.shutdown()
        server.server_close()
        thread.join()
    return played


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium here")
def test_annotated_and_partial_videos_of_every_source_play_in_chromium(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    out = tmp_path / "out"
    sources = {
        name: make_video(tmp_path / name, **{"frames": 25} | options | {"times": None})
        for name, options in TABLE.items()
    }
    sources["uneven.mp4"] = make_video(tmp_path / "uneven.mp4", **TABLE["uneven.mp4"])
    for source in sources.values():
        run(source, out=out, write=("video",))
    with pytest.raises(KeyboardInterrupt):
        stop_in_the_middle(out / "stopped.mp4", sources["plain.mp4"])
    played = play_all(out, tmp_path / "profile")
    assert len(played) == len(sources) + 1
    for name, seen in played.items():
        info = probe(out / name)
        assert "error" not in seen, (name, seen)
        assert (seen["height"], seen["width"]) == info.size_hw, name
        assert seen["frames"] == info.frame_count, name
        assert seen["duration"] == pytest.approx(info.duration_s, abs=0.1), name
        assert (seen["sound"] > 0) == info.has_audio, name


def stop_in_the_middle(path: Path, source: Path) -> None:
    with VideoWriter(path) as writer:
        for frame in read_frames(source):
            writer.write(frame.planes(), frame.time_s)
        raise KeyboardInterrupt
