"""Files and folders are complete or not there, whatever ends the process and who else writes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lstmcli.core.errors import OutputError
from lstmcli.core.files import (
    PartialFolder,
    atomic_write,
    claim,
    new_folder,
    open_partial,
    write_json,
    write_text,
)
from lstmcli.core.files import folders as folders_module
from lstmcli.core.files.listing import LIST_NAME

STEPS = ("open", "link", "replace", "rename", "unlink", "rmdir", "mkdir", "fsync", "write")
"""What the system is asked to do; a process may end before each of them."""
KILLED, DONE = 9, 0


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def killed_before_step(step: int, work: Callable[[], None]) -> int:
    """Run in a child that ends without any clean-up before its Nth call of the system."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    count = 0

    def counted(real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            nonlocal count
            count += 1
            if count > step:
                os._exit(KILLED)
            return real(*args, **kwargs)

        return call

    for name in STEPS:
        setattr(os, name, counted(getattr(os, name)))
    try:
        work()
    except BaseException:
        os._exit(1)
    os._exit(DONE)


def every_kill(work: Callable[[], None], check: Callable[[], None]) -> int:
    """Kill before each step in turn until the work gets done; return how many steps there are."""
    for step in range(1000):
        code = killed_before_step(step, work)
        assert code in (KILLED, DONE)
        check()
        if code == DONE:
            return step
    raise AssertionError("it never ends")


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    with atomic_write(path) as temporary:
        assert temporary.suffix == ".xml"  # some libraries go by the suffix
        temporary.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert names(tmp_path) == ["a.xml"]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="half way"), atomic_write(path) as temporary:  # noqa: PT012
        temporary.write_text("new")
        raise RuntimeError("half way")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.json"]


def test_what_the_system_says_is_an_error_of_the_output(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No such file"):
        write_json(tmp_path / "absent" / "a.json", {})


def test_json_has_no_nan(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"ä": 1.5})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"ä": 1.5}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "b.json", {"map": float("nan")})
    assert names(tmp_path) == ["a.json"]


def test_a_name_that_was_taken_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    writing = atomic_write(path, overwrite=False)
    with pytest.raises(OutputError, match="exists"), writing as temporary:  # noqa: PT012
        temporary.write_text("second")
        path.write_text("first")
    assert path.read_text() == "first"
    assert names(tmp_path) == ["a.json"]


def test_disks_without_links_keep_a_taken_name_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    write_text(tmp_path / "a", "first", overwrite=False)
    with pytest.raises(OutputError, match="exists"):
        write_text(tmp_path / "a", "second", overwrite=False)
    assert (tmp_path / "a").read_text() == "first"
    assert names(tmp_path) == ["a"]


def test_a_pipe_or_device_is_written_into_and_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_json(pipe, {"map": 1}, overwrite=False)
    assert json.loads(os.read(reader, 100)) == {"map": 1}
    os.close(reader)
    assert pipe.is_fifo()
    write_json(Path(os.devnull), {})
    assert Path(os.devnull).is_char_device()


def test_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "a.partial.jsonl").symlink_to(victim)
    with open_partial(tmp_path / "a.jsonl") as file:
        file.write("line\n")
    assert victim.read_text() == "precious"
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "x.jpg").write_text("precious")
    (tmp_path / "a.partial.frames").symlink_to(kept)
    folder = PartialFolder(tmp_path / "a.frames", overwrite=False)
    folder.place("x.jpg").write_text("new")
    folder.publish()
    assert (kept / "x.jpg").read_text() == "precious"


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_kill_at_any_step_of_a_file_leaves_the_old_or_the_new(
    overwrite: bool, tmp_path: Path
) -> None:
    path = tmp_path / "a.json"

    def check() -> None:
        if overwrite:
            assert path.read_text() in ("old", "new")
            path.write_text("old")
        elif path.exists():
            assert path.read_text() == "new"
            path.unlink()

    if overwrite:
        path.write_text("old")
    steps = every_kill(lambda: write_text(path, "new", overwrite=overwrite), check)
    assert steps >= 4
    write_text(path, "new", overwrite=True)
    assert names(tmp_path) == ["a.json"]  # the next one removes what the killed ones left


def write_set(out: Path, content: str, *, overwrite: bool = True) -> None:
    with claim(out), new_folder(out, overwrite=overwrite) as folder:
        (folder / "frames").mkdir()
        for name in ("dataset.json", "frames/a", "frames/b"):
            (folder / name).write_text(content)


def check_set(out: Path) -> set[str]:
    contents = {(out / name).read_text() for name in ("dataset.json", "frames/a", "frames/b")}
    assert len(contents) == 1
    return contents


def test_a_kill_at_any_step_of_a_folder_leaves_the_whole_old_or_the_whole_new(
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    write_set(out, "old")
    steps = every_kill(lambda: write_set(out, "new"), lambda: check_set(out) and None)
    assert steps >= 15
    assert check_set(out) == {"new"}
    assert names(tmp_path) == ["out"]
    assert names(out) == [LIST_NAME, "dataset.json", "frames"]


def test_where_folders_cannot_be_exchanged_the_next_run_brings_the_old_one_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders_module, "_exchange", lambda one, two: False)
    out = tmp_path / "out"
    write_set(out, "old")
    gaps = 0

    def check() -> None:
        nonlocal gaps
        gaps += not out.exists()
        with claim(out):  # any next run
            check_set(out)

    every_kill(lambda: write_set(out, "new"), check)
    assert gaps > 0
    assert names(tmp_path) == ["out"]


def test_a_kill_of_a_first_folder_leaves_nothing_under_the_name(tmp_path: Path) -> None:
    out = tmp_path / "out"

    def check() -> None:
        if out.exists():
            check_set(out)

    every_kill(lambda: write_set(out, "new"), check)
    assert names(tmp_path) == ["out"]


def test_a_folder_with_anything_foreign_inside_is_not_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_set(out, "old")
    (out / "frames" / "holiday.mp4").write_text("mine")
    with pytest.raises(OutputError, match=r"frames/holiday\.mp4"):
        write_set(out, "new")
    assert check_set(out) == {"old"}
    (out / "frames" / "holiday.mp4").unlink()
    (out / "empty").mkdir()
    with pytest.raises(OutputError, match="empty"):
        write_set(out, "new")
    (out / "empty").rmdir()
    (out / ".DS_Store").write_text("a file manager was here")
    write_set(out, "new")
    assert names(tmp_path) == ["out"]


def test_what_comes_into_a_folder_at_the_last_moment_is_kept(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_set(out, "old")
    with pytest.raises(OutputError, match="mine"), new_folder(out, overwrite=True) as folder:  # noqa: PT012
        (folder / "a").write_text("new")
        (out / "mine").write_text("precious")
    assert (out / "mine").read_text() == "precious"
    assert check_set(out) == {"old"}


def test_a_list_cannot_name_what_lies_elsewhere(tmp_path: Path) -> None:
    out, victim = tmp_path / "out", tmp_path / "victim"
    victim.mkdir()
    (victim / "a").write_text("precious")
    out.mkdir()
    (out / "link").symlink_to(victim)
    listed = ["link", "link/a", "../victim/a", str(victim / "a"), "no json"]
    text = "".join(json.dumps(name) + "\n" for name in listed) + "{\n"
    (out / LIST_NAME).write_text(text)
    write_set(out, "new")
    assert (victim / "a").read_text() == "precious"


def test_a_folder_without_a_list_is_not_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "dataset.json").write_text("{}")
    with pytest.raises(OutputError, match=r"dataset\.json"):
        write_set(out, "new")
    with pytest.raises(OutputError, match="exists"):
        write_set(out, "new", overwrite=False)
    assert names(out) == ["dataset.json"]


def test_an_output_belongs_to_one_process_at_a_time(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with claim(out):
        assert killed_before_step(10**6, lambda: write_set(out, "other")) == 1
        with pytest.raises(OutputError, match=rf"another process \({os.getpid()}\)"):
            write_set(out, "other")
        write_set(tmp_path / "else", "same parent, another name")
    write_set(out, "now")
    assert names(tmp_path) == ["else", "out"]


def test_a_killed_owner_holds_nothing(tmp_path: Path) -> None:
    def hold() -> None:
        with claim(tmp_path / "out"):
            os._exit(KILLED)

    assert killed_before_step(10**6, hold) == KILLED
    assert names(tmp_path) == [".out.lstmcli-lock"]
    with claim(tmp_path / "out", None, Path(os.devnull)):
        pass
    assert names(tmp_path) == []


def test_somebody_elses_file_is_no_lock(tmp_path: Path) -> None:
    (tmp_path / ".out.lstmcli-lock").write_text("precious")
    with pytest.raises(OutputError, match="in the way"), claim(tmp_path / "out"):
        pass
    (tmp_path / ".out.lstmcli-lock").unlink()
    (tmp_path / "victim").write_text("lstmcli 1")
    (tmp_path / ".out.lstmcli-lock").symlink_to(tmp_path / "victim")
    with pytest.raises(OutputError, match="cannot be written"), claim(tmp_path / "out"):
        pass


def test_work_of_living_processes_and_of_others_is_left_alone(tmp_path: Path) -> None:
    others = [".a.notes", ".a.1234.part", ".lstmcli-1", "a.lstmcli-0123456789abcdef.x"]
    for name in others:
        (tmp_path / name).write_text("mine")
    with atomic_write(tmp_path / "a.txt") as mine:
        write_text(tmp_path / "b.txt", "b")
        mine.write_text("a")
    assert names(tmp_path) == sorted([*others, "a.txt", "b.txt"])


def test_long_names_leave_room_for_the_temporary_one(tmp_path: Path) -> None:
    path = tmp_path / ("ä" * 125 + ".json")
    with claim(path):
        write_text(path, "x")
    assert path.read_text() == "x"
