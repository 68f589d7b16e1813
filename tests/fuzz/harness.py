"""Runs damaged files in a child with limits of time and memory, and sorts what comes of them."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import resource
import shutil
import signal
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.fuzz.mutations import mutate
from tests.fuzz.seeds import Seed, seeds_of
from tests.fuzz.targets import DAMAGE_INSIDE, TARGETS, check_outputs

LONGEST_S = 20
_HEAVY = tuple(
    f"lstmcli.workflows.{name}"
    for name in ("convert", "detect", "evaluate", "train", "prepare.teacher")
)
MOST_MEMORY = 2 << 30
DONE, REFUSED = "done", "refused"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an input.

    Args:
        kind: of the file.
        number: of the input; with the seed it says which one it was.
        name: of the file that was damaged.
        what: `done`, `refused`, or what went wrong.
        seconds: that it took.
        peak: bytes of memory at the most.
    """

    kind: str
    number: int
    name: str
    what: str
    seconds: float
    peak: int

    @property
    def is_good(self) -> bool:
        """Whether the program did its work or said in a sentence why not."""
        return self.what in (DONE, REFUSED)


@dataclass(slots=True)
class Report:
    """All outcomes."""

    outcomes: list[Outcome] = field(default_factory=list)

    def bad(self) -> list[Outcome]:
        """Return those that must not be."""
        return [one for one in self.outcomes if not one.is_good]

    def lines(self) -> Iterator[str]:
        """Yield a table of the kinds, then every cause with its number and first input."""
        yield "kind       inputs   done  refused    bad  longest   memory"
        for kind in dict.fromkeys(one.kind for one in self.outcomes):
            rows = [one for one in self.outcomes if one.kind == kind]
            counts = Counter(one.what if one.is_good else "bad" for one in rows)
            longest, peak = max(one.seconds for one in rows), max(one.peak for one in rows)
            yield (
                f"{kind:10} {len(rows):6} {counts[DONE]:6} {counts[REFUSED]:8} {counts['bad']:6} "
                f"{longest:6.1f} s {peak / 1e6:6.0f} MB"
            )
        causes: dict[str, list[Outcome]] = {}
        for one in self.bad():
            causes.setdefault(one.what, []).append(one)
        for what, ones in sorted(causes.items(), key=lambda item: -len(item[1])):
            yield f"{len(ones)} x {ones[0].kind} {ones[0].name} #{ones[0].number}: {what}"


class _TooLong(BaseException):
    pass


def fuzz(
    kind: str, count: int, *, seed: int = 0, first: int = 0, is_damaged: bool = True
) -> Iterator[Outcome]:
    """Yield the outcomes of inputs of a kind; each is a function of seed, kind and number alone.

    Args:
        kind: of the files.
        count: of the inputs.
        seed: of the damages.
        first: number of the first input.
        is_damaged: False for the sound files themselves, which are all to be accepted.
    """
    seeds = seeds_of(kind)
    for module in _HEAVY:  # once, here, instead of in every child
        import_module(module)
    context = multiprocessing.get_context("fork")
    number, last = first, first + count
    while number < last:
        ours, theirs = context.Pipe()
        work = (kind, seeds, seed, number, last, is_damaged, theirs)
        child = context.Process(target=_work, args=work)
        child.start()
        theirs.close()
        while number < last:
            if not ours.poll(2.5 * LONGEST_S):
                what = f"hang of more than {2 * LONGEST_S} s"
            else:
                try:
                    outcome: Outcome = ours.recv()
                except EOFError:
                    child.join()
                    what = f"the process ended ({child.exitcode})"
                else:
                    yield outcome
                    number += 1
                    continue
            yield Outcome(kind, number, "?", what, 2.5 * LONGEST_S, 0)
            number += 1
            break
        child.kill()
        child.join()
        ours.close()


def _work(
    kind: str, seeds: list[Seed], seed: int, first: int, last: int, is_damaged: bool, pipe: Any
) -> None:
    """Send an outcome for every input; whatever the libraries print is left out."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    signal.signal(signal.SIGALRM, _stop)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 2 * MOST_MEMORY,) * 2)
    home = Path(tempfile.mkdtemp(prefix="fuzz-"))
    os.environ["XDG_CACHE_HOME"] = str(home / "cache")
    try:
        for number in range(first, last):
            pipe.send(_one(kind, seeds, seed, number, home, is_damaged))
    finally:
        shutil.rmtree(home, ignore_errors=True)
        pipe.close()
        os._exit(0)


def _stop(number: int, frame: Any) -> None:
    raise _TooLong


def prepare_input(
    kind: str, seeds: list[Seed], seed: int, number: int, folder: Path, is_damaged: bool = True
) -> str:
    """Write the files of an input; return the name of the damaged one."""
    chance = random.Random(f"{seed}/{kind}/{number}")
    one = seeds[number % len(seeds)]
    damaged = chance.choice(one.damaged)
    alike = [other.files[other.main] for other in seeds if len(other.files[other.main]) < 1_000_000]
    for name, data in one.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name == damaged and is_damaged:
            damage = DAMAGE_INSIDE.get(path.suffix) if chance.random() < 0.7 else None
            data = damage(data, chance) if damage else mutate(data, chance, alike)
        path.write_bytes(data)
    return f"{one.name}: {damaged}"


def _one(
    kind: str, seeds: list[Seed], seed: int, number: int, home: Path, is_damaged: bool
) -> Outcome:
    folder = home / f"{number}"
    out = folder / "out"
    out.mkdir(parents=True)
    name = prepare_input(kind, seeds, seed, number, folder, is_damaged)
    main = folder / seeds[number % len(seeds)].main
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    signal.alarm(LONGEST_S)
    began = time.monotonic()
    what = _outcome_of(kind, main, out, random.Random(f"{seed}/{number}/how"))
    seconds = time.monotonic() - began
    signal.alarm(0)
    peak = _peak()
    if peak > MOST_MEMORY and what in (DONE, REFUSED):
        what = f"{peak / 1e9:.1f} GB of memory"
    shutil.rmtree(folder, ignore_errors=True)
    return Outcome(kind, number, name, what, seconds, peak)


def _outcome_of(kind: str, main: Path, out: Path, chance: random.Random) -> str:
    from lstmcli.core.errors import LstmcliError

    try:
        try:
            TARGETS[kind](main, out, chance)
        except LstmcliError as error:
            if "internal error" in error.problem or not error.problem:
                return f"{error.problem[:300]}"
            check_outputs(out, failed=True)
            return REFUSED
        check_outputs(out, failed=False)
    except _TooLong:
        return f"hang of more than {LONGEST_S} s"
    except BaseException as error:
        frames = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in frames if "/lstmcli/" in frame.filename] or frames
        where = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "?"
        return f"{type(error).__name__} at {where}: {str(error).splitlines()[:1]}"[:400]
    return DONE


def _peak() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0
