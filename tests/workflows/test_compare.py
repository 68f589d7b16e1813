"""Detectors side by side: result files of other programs on a prepared dataset."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import square_box, write_dataset

from lstmcli.cli.app import main
from lstmcli.core.errors import ConfigError, DataError, OutputError
from lstmcli.core.model_files import looks_like_model
from lstmcli.workflows.compare import compare_models
from lstmcli.workflows.evaluate import EvaluateOptions

FRAMES = 12


def write_results(
    path: Path, *, hit: Callable[[int], bool], score: float = 0.9, videos: tuple[int, ...] = (2, 3)
) -> Path:
    lines = []
    for video in videos:
        for frame in range(FRAMES):
            box = {
                "class": ("circle", "square")[video % 2],
                "score": score,
                "box": square_box(frame, video),
                "track_id": 1,
            }
            lines.append(
                {
                    "video": f"video {video}",
                    "frame": frame,
                    "time": frame / 25,
                    "detections": [box] if hit(frame) else [],
                }
            )
    path.write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    return path


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return write_dataset(
        tmp_path / "set", videos=("train", "train", "val", "val"), frames=FRAMES
    ).folder


def classes_of(dataset: Path) -> list[str]:
    names = json.loads((dataset / "dataset.json").read_text())["classes"]
    return [str(name) for name in names]


def renamed(path: Path, dataset: Path) -> Path:
    """Let the results speak of the dataset's classes."""
    one, other = classes_of(dataset)
    text = path.read_text().replace('"circle"', f'"{one}"').replace('"square"', f'"{other}"')
    path.write_text(text)
    return path


def test_better_results_win_with_an_interval(tmp_path: Path, dataset: Path) -> None:
    worse = renamed(write_results(tmp_path / "w.jsonl", hit=lambda f: f % 2 == 0), dataset)
    better = renamed(write_results(tmp_path / "b.jsonl", hit=lambda f: True, score=0.2), dataset)
    out = tmp_path / "table.json"
    table = compare_models(
        [], [dataset], detections={"worse": worse, "better": better}, json_file=out
    )
    assert table.ranking == ["better", "worse"]
    values = json.loads(out.read_text())
    rows = values["domains"][str(dataset)]
    assert (values["schema"], values["reference"]) == (1, "worse")
    assert rows["worse"]["recall"]["value"] == pytest.approx(0.5)
    assert rows["better"]["difference"]["recall"] == {
        "value": pytest.approx(0.5),
        "low": pytest.approx(0.5),
        "high": pytest.approx(0.5),
    }
    # flicker is compared where precision is equal: every second frame is lost, or none
    flicker = [rows[name]["equal_precision"]["flicker_per_minute"] for name in ("worse", "better")]
    assert flicker[0] == pytest.approx(25 * 60)
    assert flicker[1] == 0


def test_frames_that_only_one_detector_has_do_not_count(tmp_path: Path, dataset: Path) -> None:
    one = renamed(write_results(tmp_path / "1.jsonl", hit=lambda f: True), dataset)
    other = renamed(write_results(tmp_path / "2.jsonl", hit=lambda f: True), dataset)
    table = compare_models(
        [],
        [dataset],
        detections={"one": one, "other": other},
        options=EvaluateOptions(limit=4),
        draws=10,
    )
    (standings,) = table.domains.values()
    assert [len(s.comparison.results) for s in standings] == [8, 8]


def test_invalid_comparisons_name_their_reason(tmp_path: Path, dataset: Path) -> None:
    results = renamed(write_results(tmp_path / "r.jsonl", hit=lambda f: True), dataset)
    with pytest.raises(ConfigError, match="one detector"):
        compare_models([], [dataset], detections={"a": results})
    with pytest.raises(ConfigError, match="twice"):
        compare_models(["a", "a"], [dataset])
    (tmp_path / "there.json").write_text("{}")
    with pytest.raises(OutputError, match="exists"):
        compare_models(
            [],
            [dataset],
            detections={"a": results, "b": results},
            json_file=tmp_path / "there.json",
        )
    with pytest.raises(DataError, match="no such file"):
        compare_models([], [dataset], detections={"a": results, "b": tmp_path / "absent.json"})


def test_classes_of_results_that_the_data_does_not_label_do_not_count(
    tmp_path: Path, dataset: Path
) -> None:
    plain = renamed(write_results(tmp_path / "a.jsonl", hit=lambda f: True), dataset)
    more = tmp_path / "b.jsonl"
    extra = {"class": "ufo", "score": 0.99, "box": [1, 1, 9, 9], "track_id": 9}
    lines = [json.loads(line) for line in plain.read_text().splitlines()]
    more.write_text(
        "\n".join(json.dumps(row | {"detections": [*row["detections"], extra]}) for row in lines)
    )
    table = compare_models([], [dataset], detections={"a": plain, "b": more})
    (standings,) = table.domains.values()
    one, other = (standing.comparison for standing in standings)
    assert len(one.shown.scores) == len(other.shown.scores)

    strange = tmp_path / "c.jsonl"
    strange.write_text("\n".join(json.dumps(row | {"detections": [extra]}) for row in lines))
    with pytest.raises(DataError, match="ufo"):
        compare_models([], [dataset], detections={"a": plain, "c": strange})


def test_the_command_prints_a_table_a_domain_and_stops_a_release(
    tmp_path: Path, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = renamed(write_results(tmp_path / "1.jsonl", hit=lambda f: f % 3 > 0), dataset)
    other = renamed(write_results(tmp_path / "2.jsonl", hit=lambda f: True), dataset)
    arguments = [f"--detections=one={one}", f"--detections=other={other}", str(dataset)]
    with pytest.raises(SystemExit, match="0"):
        main(["evaluate", *arguments, "--fail-below", "recall=0.5"])
    assert "+0.337*  +0.337 +0.337" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="1"):
        main(["evaluate", *arguments, "--fail-below", "recall=0.9"])
    assert "error: recall is 0.6667" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "expected"),
    [("sky", True), ("sky,sky", True), ("torchvision:ssd300_vgg16", True), ("dataset", False)],
)
def test_models_come_before_data(name: str, expected: bool) -> None:
    assert looks_like_model(name) is expected


def test_results_without_a_single_detection_are_compared(tmp_path: Path, dataset: Path) -> None:
    nothing = write_results(tmp_path / "nothing.jsonl", hit=lambda f: False)
    table = compare_models([], [dataset], detections={"a": nothing, "b": nothing})
    assert table.domains[str(dataset)][1].values["recall"].value == 0.0


def test_a_comparison_has_a_page_that_needs_nothing_else(tmp_path: Path, dataset: Path) -> None:
    one = renamed(write_results(tmp_path / "1.jsonl", hit=lambda f: f % 3 > 0), dataset)
    other = renamed(write_results(tmp_path / "2.jsonl", hit=lambda f: True), dataset)
    compare_models(
        [], [dataset], detections={"one": one, "<other>": other}, report=tmp_path / "page"
    )
    page = (tmp_path / "page" / "index.html").read_text()
    assert "&lt;other&gt; is better than one" in page
    assert "<other>" not in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "nan" not in page.lower().replace("finan", "")
    with pytest.raises(OutputError):
        compare_models([], [dataset], detections={"a": one, "b": one}, report=tmp_path / "page")


@pytest.mark.real
def test_clips_of_the_worst_moments_are_in_the_page(tmp_path: Path, shared: Path) -> None:
    data = shared / "data" / "people" / "TUD-Campus"
    rows = [
        json.dumps({"video": "TUD-Campus", "frame": frame, "time": frame / 25, "detections": []})
        for frame in range(71)
    ]
    nothing = tmp_path / "nothing.jsonl"
    nothing.write_text("\n".join(rows))
    compare_models(
        [],
        [data],
        detections={"one": nothing, "other": nothing},
        options=EvaluateOptions(limit=20),
        draws=10,
        report=tmp_path / "page",
    )
    page = (tmp_path / "page" / "index.html").read_text()
    assert "data:video/mp4;base64," in page
    assert "missed by one" in page


@pytest.mark.parametrize(
    "words",
    [
        ["--ablate", "--fail-below", "map50=0.5"],
        ["--ablate", "--threshold", "0.5"],
        ["--detections", "a=a.json", "--threshold", "0.5"],
    ],
)
def test_options_without_effect_are_refused(
    words: list[str], dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", "sky", str(dataset), *words])
    assert stop.value.code == 2
    assert words[-2].split("=")[0] in capsys.readouterr().err


def test_a_table_that_cannot_be_written_is_refused_before_the_work(
    tmp_path: Path, dataset: Path
) -> None:
    results = renamed(write_results(tmp_path / "r.jsonl", hit=lambda f: True), dataset)
    with pytest.raises(OutputError, match="cannot be written there"):
        compare_models(
            [],
            [dataset],
            detections={"a": results, "b": tmp_path / "never-read.json"},
            json_file=tmp_path / "absent" / "table.json",
        )
