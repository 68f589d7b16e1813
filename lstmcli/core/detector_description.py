"""The YAML description of a foreign detector: properties that its graph does not hold."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError

from lstmcli.core.config import Section
from lstmcli.core.errors import ConfigError, near_name
from lstmcli.core.yaml_text import read_yaml

Number = Annotated[float, Field(allow_inf_nan=False)]
Triple = tuple[Number, Number, Number]


def _fraction(value: Any) -> Any:
    """Parse fractions such as 1/255; in floats: a `Fraction` of 1e999999999 takes hours."""
    if isinstance(value, str):
        above, slash, below = value.partition("/")
        try:
            return float(above) / (float(below) if slash else 1.0)
        except (ValueError, ZeroDivisionError):
            return value
    return value


class DetectorDescription(Section):
    """Description of a foreign detector; None: taken from the file, or the default of its layout.

    Args:
        layout: a name of `inference.foreign.layouts.LAYOUTS`.
        classes: names in the network's order, or the path of a file with one a line.
        size: (width, height) of its input.
        color: order of the channels.
        scale: factor of pixels 0..255, such as 1/255.
        mean: subtracted after scaling, in the network's order of channels.
        std: divided by after that.
        fit: `letterbox` centers a frame on grey bars, `corner` puts them right and below, `stretch`
            changes its shape.
        nms_iou: overlap above which the lesser of two boxes is dropped; 1 for no suppression.
        licence: of the weights.
    """

    layout: str | None = None
    classes: tuple[str, ...] | str | None = None
    size: tuple[Annotated[int, Field(gt=0)], Annotated[int, Field(gt=0)]] | None = None
    color: Literal["rgb", "bgr"] | None = None
    scale: Annotated[float, BeforeValidator(_fraction), Field(gt=0, allow_inf_nan=False)] | None = (
        None
    )
    mean: Triple | None = None
    std: Annotated[Triple, Field()] | None = None
    fit: Literal["letterbox", "corner", "stretch"] | None = None
    nms_iou: Annotated[float, Field(gt=0, le=1)] | None = None
    licence: str = ""


def read_description(path: Path) -> DetectorDescription:
    """Read the YAML file next to a detector; defaults where there is none.

    Args:
        path: of the detector.

    Raises:
        ConfigError: a key that does not exist, or a value of the wrong type.
    """
    file = next((f for s in (".yaml", ".yml") if (f := path.with_suffix(s)).is_file()), None)
    if file is None:
        return DetectorDescription()
    values = read_yaml(file) or {}
    if not isinstance(values, dict):
        raise ConfigError(
            f"{file}: a list or text", hint="write keys and values, as `size: [W, H]`"
        )
    if isinstance(values.get("classes"), dict):
        values["classes"] = _listed(values["classes"], file)
    try:
        found = DetectorDescription.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0])
        if first["type"] == "extra_forbidden":
            hint = near_name(key, DetectorDescription.model_fields)
            raise ConfigError(f"{file}: there is no key {key!r}", hint=hint) from None
        rule = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{file}: {key} is {str(first['input'])[:80]!r}", hint=rule) from None
    if found.std is not None and 0 in found.std:
        raise ConfigError(f"{file}: std is {list(found.std)}", hint="divisors are not 0")
    return found


def _listed(table: dict[Any, Any], file: Path) -> list[str]:
    """Return a table from numbers to names as a list; numbers that are left out have no name."""
    if not table or not all(isinstance(key, int) and 0 <= key < 100_000 for key in table):
        raise ConfigError(f"{file}: classes is no list", hint="write numbers from 0 and names")
    return [str(table.get(number, "")) for number in range(max(table) + 1)]
