"""What a killed process published: the same command replaces it, and nothing else."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from core.test_files import DONE, KILLED, every_kill, killed_before_step, names, write_set

from lstmcli.core.errors import OutputError
from lstmcli.core.files import (
    check_free,
    claim,
    holds_only_unreported,
    is_unreported,
    noted_at,
    publish_files,
    remove_leftovers,
    temporary_folder,
    write_text,
)
from lstmcli.core.files.moves import write_moves
from lstmcli.core.files.publications import lock_of
from lstmcli.core.files.temporary import moving_path


def write_two(folder: Path, *, text: str = "new", resumes: bool = False) -> None:
    """As a command with two outputs does that may not replace any."""
    paths = (folder / "a.json", folder / "a.html")
    with claim(*paths, resumes=resumes):
        for path in paths:
            check_free(path, overwrite=False)
        for path in paths:
            write_text(path, text, overwrite=False)


def kill_after_first(folder: Path, *, resumes: bool = False) -> None:
    """Kill the command when its first output is published, and the second one is not."""
    for step in range(1000):
        work = killed_before_step(step, lambda: write_two(folder, resumes=resumes))
        assert work == KILLED
        if (folder / "a.json").exists():
            return
    raise AssertionError("it never publishes")


def test_after_a_kill_at_any_step_the_same_command_works(tmp_path: Path) -> None:
    for step in range(1000):
        folder = tmp_path / str(step)
        folder.mkdir()
        code = killed_before_step(step, lambda folder=folder: write_two(folder))  # type: ignore[misc]
        was_done = names(folder) == ["a.html", "a.json"]  # nothing but the end of the process
        if was_done:
            with pytest.raises(OutputError, match="exists"):
                write_two(folder, text="again")
        else:
            write_two(folder, text="again")
        texts = {path.name: path.read_text() for path in folder.iterdir()}
        assert texts == dict.fromkeys(("a.json", "a.html"), "new" if was_done else "again")
        if code == DONE:
            assert step > 15
            return


def test_after_a_kill_at_any_step_a_first_folder_is_made_again(tmp_path: Path) -> None:
    for step in range(1000):
        out = tmp_path / str(step) / "out"
        out.parent.mkdir()
        work = lambda out=out: write_set(out, "new", overwrite=False)  # noqa: E731
        code = killed_before_step(step, work)
        if names(out.parent) != ["out"]:
            write_set(out, "again", overwrite=False)
            assert (out / "frames" / "b").read_text() == "again"
        assert names(out.parent) == ["out"]
        if code == DONE:
            return


def test_what_was_edited_or_made_after_the_kill_is_not_replaced(tmp_path: Path) -> None:
    kill_after_first(tmp_path)
    assert is_unreported(tmp_path / "a.json")
    (tmp_path / "a.json").write_text("corrected by hand")
    assert not is_unreported(tmp_path / "a.json")
    with pytest.raises(OutputError, match=r"a\.json exists"):
        write_two(tmp_path)
    assert (tmp_path / "a.json").read_text() == "corrected by hand"
    (tmp_path / "a.json").unlink()
    kill_after_first(tmp_path)
    (tmp_path / "a.html").write_text("mine")
    with pytest.raises(OutputError, match=r"a\.html exists"):
        write_two(tmp_path)
    assert (tmp_path / "a.html").read_text() == "mine"


def test_a_failure_after_the_kill_forgets_nothing(tmp_path: Path) -> None:
    kill_after_first(tmp_path)
    with pytest.raises(OutputError, match="no room"), claim(tmp_path / "a.json"):
        raise OutputError("no room")
    assert killed_before_step(3, lambda: write_two(tmp_path)) == KILLED
    write_two(tmp_path, text="again")
    assert (tmp_path / "a.json").read_text() == "again"
    assert names(tmp_path) == ["a.html", "a.json"]


def test_results_of_a_command_that_resumes_stay(tmp_path: Path) -> None:
    kill_after_first(tmp_path, resumes=True)
    with pytest.raises(OutputError, match="exists"):
        write_two(tmp_path)
    assert (tmp_path / "a.json").read_text() == "new"


def test_the_claim_around_others_ends_last(tmp_path: Path) -> None:
    """A command of several stages, each with its own claim, as `demo`."""
    out = tmp_path / "out"

    def stages(*, is_killed: bool) -> None:
        with claim(out):
            out.mkdir(exist_ok=True)
            is_left = holds_only_unreported(out)
            write_set(out / "dataset", "new", overwrite=is_left)
            with claim(out / "run", resumes=True):
                (out / "run").mkdir(exist_ok=True)
                write_text(out / "run" / "best.pt", "1", overwrite=is_left)
                write_text(out / "run" / "best.pt", "22")
            if is_killed:
                os._exit(KILLED)

    def is_left() -> bool:
        with claim(out):
            found.append(holds_only_unreported(out))
            raise OutputError("no room")

    assert killed_before_step(10**6, lambda: stages(is_killed=True)) == KILLED
    (out / "mine").write_text("precious")
    found: list[bool] = []
    for _ in range(2):
        with pytest.raises(OutputError, match="no room"):
            is_left()
        (out / "mine").unlink(missing_ok=True)
    assert found == [False, True]
    stages(is_killed=False)
    with pytest.raises(OutputError, match="no room"):
        is_left()
    assert found[-1] is False
    with pytest.raises(OutputError, match="exists"):
        stages(is_killed=False)


def test_a_worker_writes_into_the_lock_of_the_process_that_started_it(tmp_path: Path) -> None:
    def work() -> None:
        with claim(tmp_path / "a.tasks"):
            with noted_at(tmp_path / "a.tasks"), claim(tmp_path / "a"):
                write_text(tmp_path / "a.json", "new", overwrite=False)
            os._exit(KILLED)

    assert killed_before_step(10**6, work) == KILLED
    with claim(tmp_path / "a.tasks"):
        assert is_unreported(tmp_path / "a.json")
    assert names(tmp_path) == ["a.json"]
    with noted_at(tmp_path / "a.tasks"):  # without such a process it writes nothing
        write_text(tmp_path / "a.json", "new")
    assert names(tmp_path) == ["a.json"]


@pytest.mark.parametrize("line", ['["a.json", 1, 2, 3]', '["../x", 1, 2, 3]', "[", "7", '["a"]'])
def test_a_planted_lock_frees_nothing(line: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("mine")
    lock_of(tmp_path / "a.json").write_text(f"lstmcli         12\n{line}\n")
    with pytest.raises(OutputError, match="exists"):
        write_two(tmp_path)
    assert (tmp_path / "a.json").read_text() == "mine"


def publish_set(folder: Path, content: str, *, removes: tuple[str, ...] = ()) -> None:
    """Give two files their names together."""
    with temporary_folder(folder / "net.xml") as complete:
        for name in ("net.bin", "net.xml"):
            (complete / name).write_text(content)
        publish_files(complete, overwrite=True, removes=removes)


def test_a_kill_at_any_step_leaves_files_of_one_kind_to_the_next_command(tmp_path: Path) -> None:
    publish_set(tmp_path, "old")
    (tmp_path / "net.log").write_text("old")
    seen = []

    def check() -> None:
        assert {(tmp_path / name).read_text() for name in ("net.bin", "net.xml")} <= {"old", "new"}
        remove_leftovers(tmp_path)  # any next command
        texts = {(tmp_path / name).read_text() for name in ("net.bin", "net.xml")}
        assert len(texts) == 1
        assert (tmp_path / "net.log").exists() == (texts == {"old"})
        assert set(names(tmp_path)) <= {"net.bin", "net.xml", "net.log"}
        seen.extend(texts)
        publish_set(tmp_path, "old")
        (tmp_path / "net.log").write_text("old")

    every_kill(lambda: publish_set(tmp_path, "new", removes=("net.log", "absent")), check)
    assert seen.count("old") >= 5
    assert seen.count("new") >= 5


def test_planted_moves_replace_and_remove_nothing(tmp_path: Path) -> None:
    folder, outside = tmp_path / "here", tmp_path / "outside"
    planted = folder / ".files.lstmcli-new-0123456789abcdef"
    planted.mkdir(parents=True)
    outside.write_text("precious")
    for name in ("a", "b"):
        (folder / name).write_text("precious")
        (planted / name).write_text("planted")
    (planted / "c").symlink_to(outside)
    rows = [["a", None, True], ["b", [1, 2, 3], False], ["../outside", None, True], ["c", None, 1]]
    (planted / ".lstmcli-moves").write_text(json.dumps([*rows, 7, ["d", [], True]]))
    with claim(folder / "out"):
        pass
    assert outside.read_text() == "precious"
    assert {(folder / name).read_text() for name in ("a", "b")} == {"precious"}
    assert not (folder / "c").exists()


def test_what_another_user_planted_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder of many users, such as /tmp, everybody can make files with our names."""
    kill_after_first(tmp_path)
    moved = tmp_path / "b.json"
    moved.write_text("mine")
    with temporary_folder(tmp_path / "b.json") as folder:
        (folder / "b.json").write_text("planted")
        write_moves(folder)
        folder.rename(moving_path(folder))
    monkeypatch.setattr(os, "getuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(OutputError, match="exists"):
        write_two(tmp_path, text="again")
    assert moved.read_text() == "mine"
    monkeypatch.undo()
    remove_leftovers(tmp_path)  # of this user, it is the work of a process that was ended
    assert moved.read_text() == "planted"
