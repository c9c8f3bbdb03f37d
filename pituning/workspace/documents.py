"""Documents from outside, checked once at the border: what passes can be stored, computed with and shown.

JSON as Python reads it may hold NaN, whole numbers of any length, half characters and a thousand levels; each breaks
something further in (a database, a browser, an encoding, a recursion). `parse_json` and `check_document` let none of
them in, and `check_fields` compares a document with the fields of a dataclass.
"""

from __future__ import annotations

import json
import math
import types
import typing
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import yaml

from pituning.text import one_line

MOST_BYTES = 256 * 2**20
"""Of a JSON document; the largest of our own have a tenth of it."""
MOST_DEPTH = 64
"""Levels of lists and objects; what people and programs write has fewer than ten."""
LEAST_WHOLE, MOST_WHOLE = -(2**63), 2**63 - 1
"""What a database, an array and a generator of random numbers can hold."""
_SHOWN = 40


class DocumentError(ValueError):
    """What a document may not hold: a clause that follows a colon, and names the place where it is.

    Args:
        field: the outermost key at fault, where there is one.
    """

    def __init__(self, message: str, field: str | None = None):
        super().__init__(message)
        self.field = field


def parse_json(data: bytes | str, *, most_bytes: int = MOST_BYTES) -> Any:
    """A JSON document of any source.

    Args:
        data: UTF-8, where it is bytes.

    Raises:
        DocumentError: it is no JSON, or holds what `check_document` refuses.
    """
    if len(data) > most_bytes:
        raise DocumentError(f"it has {len(data) / 2**20:,.0f} MiB; at most {most_bytes / 2**20:,.0f} MiB are read")
    try:
        document = json.loads(data)
    except json.JSONDecodeError as error:
        raise DocumentError(f"it is not JSON ({error.msg}, line {error.lineno})") from error
    except UnicodeDecodeError as error:
        raise DocumentError(f"it is not JSON (no text in UTF-8 at byte {error.start})") from error
    except RecursionError as error:
        raise DocumentError("it is nested too deeply") from error
    except ValueError as error:  # Python's own limit of digits
        raise DocumentError("it holds a number with too many digits") from error
    check_document(document)
    return document


class _Plain(yaml.SafeLoader):
    """YAML without aliases, a few lines of which stand for a billion values; dates are text."""

    yaml_implicit_resolvers: typing.ClassVar = {
        first: [(tag, pattern) for tag, pattern in known if tag != "tag:yaml.org,2002:timestamp"]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise DocumentError("it holds an alias (*name); write the value out")
        return super().compose_node(parent, index)


def parse_yaml(data: bytes, *, most_bytes: int = 2**20) -> Any:
    """A YAML document of any source; keys may be numbers.

    Raises:
        DocumentError: it is no YAML, or holds what `check_document` refuses, or an alias.
    """
    if len(data) > most_bytes:
        raise DocumentError(f"it has {len(data) / 2**20:,.0f} MiB; at most {most_bytes / 2**20:,.0f} MiB are read")
    try:
        document = yaml.load(data, _Plain)
    except DocumentError:
        raise
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DocumentError(f"it is no YAML ({' '.join(str(error).split())[:120]})") from error
    check_document(document, text_keys=False)
    return document


def check_document(document: Any, *, text_keys: bool = True) -> None:
    """Does nothing for plain data: text, finite numbers, whole numbers of 64 bits, lists and objects of few levels.

    Raises:
        DocumentError: for anything else; it says where.
    """
    level: list[tuple[Any, str, str | None]] = [(document, "", None)]
    for _ in range(MOST_DEPTH + 1):
        inner: list[tuple[Any, str, str | None]] = []
        for container, path, field in level:
            for key, value in _children(container, text_keys):
                kind = type(value)
                if kind is str:
                    fine = value.isascii() or _has_whole_characters(value)
                elif kind is int:
                    fine = LEAST_WHOLE <= value <= MOST_WHOLE
                elif kind is float:
                    fine = math.isfinite(value)
                elif kind in (dict, list, tuple):
                    inner.append((value, f"{path}.{key}" if path else str(key), field or str(key)))
                    continue
                else:
                    fine = value is None or kind is bool
                if not fine:
                    where = f"{path}.{key}" if path else str(key)
                    raise DocumentError(_what(where, value), field or (str(key) or None))
        if not inner:
            return
        level = inner
    raise DocumentError(
        f"{level[0][1][:_SHOWN]}… is nested too deeply; at most {MOST_DEPTH} levels are read", level[0][2]
    )


def _children(container: Any, text_keys: bool) -> typing.Iterable[tuple[Any, Any]]:
    if isinstance(container, dict):
        for key in container:
            if not (_has_whole_characters(key) if isinstance(key, str) else not text_keys):
                raise DocumentError(f"it has the key {ascii(key)[:_SHOWN]}, which is no text", ascii(key)[:_SHOWN])
        return container.items()
    return enumerate(container) if isinstance(container, list | tuple) else [("", container)]


def _what(where: str, value: Any) -> str:
    start = f"{one_line(where)} is" if where else "it is"
    if isinstance(value, str):
        return f"{start} {ascii(value)[:_SHOWN]}, which holds half a character (a lone surrogate)"
    if isinstance(value, int):
        # An int of thousands of digits cannot even be written out.
        return f"{start} a whole number beyond 64 bits; give one of at most {MOST_WHOLE}"
    if isinstance(value, float):
        return f"{start} {value}, which is not finite; give a number"
    return f"{start} a {type(value).__name__}, which JSON does not know; give text, numbers and lists"


def _has_whole_characters(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_fields(record: type, document: Mapping[str, Any]) -> None:
    """Compares the values of a document with the types of a dataclass's fields; keys of no field are passed over.

    Lists stand for tuples, whole numbers for any; true and false are no numbers.

    Raises:
        DocumentError: for the first that does not fit.
    """
    for name, hint in _hints(record).items():
        if name in document and not _fits(document[name], hint):
            raise DocumentError(f"{name} is {_short(document[name])}; give {_words(hint)}", name)


@cache
def _hints(record: type) -> dict[str, Any]:
    return typing.get_type_hints(record)


def _fits(value: Any, hint: Any) -> bool:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, one) for one in inner)
    if origin is typing.Literal:
        return any(type(value) is type(one) and value == one for one in inner)
    if origin is tuple and not (len(inner) == 2 and inner[1] is Ellipsis):
        fixed = isinstance(value, list | tuple) and len(value) == len(inner)
        return fixed and all(map(_fits, value, inner))
    if origin in (tuple, list, Sequence):
        return isinstance(value, list | tuple) and all(_fits(one, inner[0]) for one in value)
    if origin in (dict, Mapping):
        mapping = isinstance(value, Mapping)
        return mapping and all(_fits(key, inner[0]) and _fits(one, inner[1]) for key, one in value.items())
    if hint is float:
        return type(value) in (int, float)
    if hint in (int, bool, str):
        return type(value) is hint
    if hint is type(None):
        return value is None
    return True


_KINDS = {
    int: "a whole number", float: "a number", str: "a text", bool: "true or false", type(None): "nothing",
    tuple: "a list", list: "a list", Sequence: "a list", dict: "an object", Mapping: "an object",
}  # fmt: skip


def _words(hint: Any) -> str:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_words(one) for one in inner)
    if origin is typing.Literal:
        return " or ".join(repr(one) for one in inner)
    word = _KINDS.get(origin or hint, "another value")
    if word == "a list" and inner and inner[0] in _KINDS:
        return f"a list of {_KINDS[inner[0]].removeprefix('a ')}s"
    if word == "an object" and inner and inner[1] in _KINDS:
        return f"an object of {_KINDS[inner[1]].removeprefix('a ')}s"
    return word


def _short(value: Any) -> str:
    written = repr(value)
    return written if len(written) <= _SHOWN else written[:_SHOWN] + "…"
