"""What people write behind an option."""

from __future__ import annotations

import pytest
import typer

from lstmcli.cli import parsing


@pytest.mark.parametrize("text", ["640,512", "640x512", " 640 , 512 "])
def test_a_size_is_width_then_height(text: str) -> None:
    assert parsing.size_hw(text) == (512, 640)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("40m", 2400), ("1.5h", 5400), ("1h30m", 5400), ("2min 5s", 125)],
)
def test_lengths_of_time_have_units(text: str, seconds: float) -> None:
    assert parsing.duration_s(text) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("12.5", 12.5), ("1:30", 90), ("1:02:03", 3723), ("0:00:00.25", 0.25), ("6s", 6), ("1m", 60)],
)
def test_moments_are_seconds_or_clock_times(text: str, seconds: float) -> None:
    assert parsing.moment_s(text) == seconds


def test_names_and_renames_are_split() -> None:
    assert parsing.names("bird, drone") == ("bird", "drone")
    assert parsing.renames(["car=vehicle", "van = vehicle"]) == {
        "car": "vehicle",
        "van": "vehicle",
    }


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (parsing.size_hw, "640"),
        (parsing.size_hw, "0,10"),
        (parsing.size_hw, "-5,10"),
        (parsing.duration_s, "soon"),
        (parsing.duration_s, "5 parsecs"),
        (parsing.moment_s, "1:2:3:4"),
        (parsing.moment_s, "-1"),
        (parsing.names, " , "),
        (parsing.renames, ["car"]),
        (parsing.renames, ["=car"]),
    ],
)
def test_an_invalid_value_is_misuse(function: object, text: object) -> None:
    assert callable(function)
    with pytest.raises(typer.BadParameter, match="write"):
        function(text)


def test_an_omitted_value_is_none() -> None:
    assert parsing.size_hw(None) is None
    assert parsing.duration_s(None) is None
    assert parsing.moment_s(None) is None
    assert parsing.names(None) is None
    assert parsing.renames(None) == {}
