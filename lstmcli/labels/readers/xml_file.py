"""XML files read with defusedxml: no entities, no external files, every element knows its line."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from lstmcli.core.errors import DataError
from lstmcli.core.limits import check_limit

_DEEPEST = 200


@dataclass(slots=True)
class Element:
    """An element of an XML file with its file and line, so that an error can say where it is."""

    tag: str
    attributes: dict[str, str]
    file: str
    line: int
    text: str = ""
    children: list[Element] = field(default_factory=list)

    @property
    def where(self) -> str:
        """The file and line."""
        return f"{self.file}, line {self.line}"

    def all(self, *tags: str) -> Iterator[Element]:
        """Yield the children of these tags, in order."""
        return (child for child in self.children if child.tag in tags)

    def find(self, path: str) -> Element | None:
        """Return the first descendant along a path such as `bndbox/xmin`, or None."""
        found: Element | None = self
        for tag in path.split("/"):
            found = None if found is None else next(found.all(tag), None)
        return found

    def need(self, path: str) -> Element:
        """Return the first descendant along a path; DataError where there is none."""
        found = self.find(path)
        if found is None:
            raise DataError(
                f"{self.where}: <{self.tag}> has no <{path}>", hint="export the file again"
            )
        return found

    def text_of(self, path: str) -> str:
        """Return the text of a descendant, "" where there is none."""
        found = self.find(path)
        return "" if found is None else found.text.strip()

    def number_of(self, path: str) -> float:
        """Return the number that a descendant holds."""
        found = self.need(path)
        return self._number(found.text, f"{found.where}: <{found.tag}>")

    def own_number(self) -> float:
        """Return the number that this element holds."""
        return self._number(self.text, f"{self.where}: <{self.tag}>")

    def attribute(self, name: str) -> str:
        """Return an attribute; DataError where there is none."""
        if name not in self.attributes:
            raise DataError(
                f"{self.where}: <{self.tag}> has no {name!r}", hint="export the file again"
            )
        return self.attributes[name]

    def number(self, name: str) -> float:
        """Return a finite number from an attribute."""
        return self._number(self.attribute(name), f"{self.where}: {name}")

    def whole(self, name: str) -> int:
        """Return a whole number from an attribute."""
        number = self.number(name)
        if number != int(number):
            raise DataError(f"{self.where}: {name} {number}", hint=f"{name} is a whole number")
        return int(number)

    def flag(self, name: str) -> bool:
        """Return whether an attribute says yes; no where it is absent."""
        return self.attributes.get(name, "0").strip().lower() in {"1", "true", "yes"}

    @staticmethod
    def _number(text: str, where: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise DataError(f"{where} is {text.strip()[:40]!r}", hint="a number belongs there")
        return number


class _Tree:
    """Builds elements while the parser runs, so that each knows the line it began in."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.parser: Any = None
        self.root: Element | None = None
        self._open: list[Element] = []

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        line = self.parser.parser.CurrentLineNumber
        element = Element(tag.rpartition("}")[2], dict(attributes), self.file, line)
        if len(self._open) >= _DEEPEST:
            raise DataError(f"{element.where}: elements within elements without end")
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)

    def end(self, _tag: str) -> None:
        self._open.pop()

    def data(self, text: str) -> None:
        if self._open:
            self._open[-1].text += text

    def close(self) -> Element | None:
        return self.root


def load_xml(path: Path) -> Element:
    """Return the root of an XML file.

    Raises:
        DataError: the file is no XML, is cut off, or holds entities; the message names the line.
    """
    tree = _Tree(str(path))
    # forbid_dtd stays off: many VOC files name a harmless DTD. Entities are refused.
    parser = DefusedXMLParser(target=tree, forbid_entities=True, forbid_external=True)
    tree.parser = parser
    try:
        check_limit("label_bytes", path.stat().st_size, str(path))
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                parser.feed(chunk)
        parser.close()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}", hint="give a file that can be read") from None
    except ParseError as error:
        line, _ = error.position
        reason = str(error).partition(":")[0]
        raise DataError(
            f"{path}, line {line}: {reason}",
            hint="the file is no XML, or it is cut off; export it again",
        ) from None
    except DefusedXmlException as error:
        raise DataError(
            f"{path}, line {parser.parser.CurrentLineNumber}: {type(error).__name__}",
            hint="label files hold no entities and no references to other files",
        ) from None
    except (ValueError, LookupError) as error:
        raise DataError(f"{path}: {error}", hint="save the file as UTF-8") from None
    if tree.root is None:
        raise DataError(f"{path}: an empty file", hint="export the file again")
    return tree.root
