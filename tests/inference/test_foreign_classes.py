"""Class names: from metadata, a names file, or COCO; numbers that do not fit say so."""

from __future__ import annotations

from pathlib import Path

import pytest

from lstmcli.core.errors import ModelError
from lstmcli.inference.foreign.class_names import (
    COCO_80,
    COCO_IDS,
    class_table,
    find_names,
    parse_names,
)


@pytest.mark.parametrize(
    "text",
    ["['a', 'b']", '["a", "b"]', "{0: 'a', 1: 'b'}", '{"0": "a", "1": "b"}', "a, b"],
)
def test_metadata_lists_names_in_several_ways(text: str) -> None:
    assert parse_names(text) == ("a", "b")


@pytest.mark.parametrize("text", ["", "7", "{'a': 'b'}", "nonsense", "{99999999: 'a'}"])
def test_metadata_without_names_gives_none(text: str) -> None:
    assert parse_names(text) == ()


def test_a_names_file_next_to_the_model_is_found(tmp_path: Path) -> None:
    (tmp_path / "model.names").write_text("cat\ndog\n", encoding="utf-8")
    assert find_names(tmp_path / "model.onnx", {}) == (("cat", "dog"), "model.names")
    names, source = find_names(tmp_path / "model.onnx", {"names": "['a']"})
    assert names == ("a",)
    assert "metadata" in source


def test_eighty_columns_are_coco() -> None:
    table = class_table((), "", 80, "m.onnx")
    assert table.names == COCO_80
    assert table.columns.tolist() == list(range(80))


@pytest.mark.parametrize(("columns", "first"), [(91, 0), (90, 1)])
def test_ninety_outputs_are_the_category_ids_of_coco(columns: int, first: int) -> None:
    table = class_table((), "", columns, "m.onnx")
    assert len(table.names) == 80
    assert table.columns[0] == 1 - first
    assert table.columns[-1] == 90 - first
    assert table.columns.tolist() == [number - first for number in COCO_IDS]


def test_eighty_coco_names_fit_91_outputs_by_their_ids() -> None:
    table = class_table(COCO_80, "coco.names", 91, "m.onnx")
    assert table.columns.tolist() == list(COCO_IDS)


def test_eighty_other_names_for_91_outputs_are_an_error() -> None:
    names = tuple(f"thing {n}" for n in range(80))
    with pytest.raises(ModelError, match=r"91 classes, but m\.names lists 80") as caught:
        class_table(names, "m.names", 91, "m.onnx")
    assert "list all 91" in caught.value.hint


def test_a_listed_background_is_no_class() -> None:
    table = class_table(("background", "cat", "N/A", "dog"), "m.names", 4, "m.onnx")
    assert table.names == ("cat", "dog")
    assert table.columns.tolist() == [1, 3]


def test_an_unnamed_number_of_classes_is_an_error() -> None:
    with pytest.raises(ModelError, match="7 classes without names") as caught:
        class_table((), "", 7, "dir/m.onnx")
    assert "m.names" in caught.value.hint


def test_a_name_listed_twice_is_an_error() -> None:
    with pytest.raises(ModelError, match="'a' twice"):
        class_table(("a", "a"), "m.names", 2, "m.onnx")
