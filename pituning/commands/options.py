"""Options of a command from the fields of a config dataclass: their help has one source, ``metadata["help"]``."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import typer

from pituning.errors import BadInput
from pituning.workspace.layout import BACKBONE_HELP, BACKBONE_VARIABLE

BackboneOption = Annotated[
    str, typer.Option("--backbone", envvar=BACKBONE_VARIABLE, show_envvar=False, help=BACKBONE_HELP)
]


def takes_config(config_class: Any, *, argument: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Makes a command of a function whose first parameter, ``config``, is an instance of ``config_class``.

    Every field with a help text becomes an option ``--its-name``, or those that ``metadata["options"]`` lists; a tuple
    is given as a comma-separated list, whose words ``metadata["parse"]`` reads where their type does not.

    Args:
        argument: the field that is given by position instead; a tuple takes any number of words.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        hints = get_type_hints(config_class)
        fields = [field for field in dataclasses.fields(config_class) if field.metadata.get("help")]
        parameters = [_parameter(field, hints[field.name], field.name == argument) for field in fields]
        own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]

        def command(**given: Any) -> None:
            values = {field.name: given.pop(field.name) for field in fields}
            parsers = {field.name: field.metadata.get("parse") for field in fields}
            read = {name: _value(name, value, hints[name], parsers[name]) for name, value in values.items()}
            config = config_class(**read)
            function(config, **given)

        signature = inspect.Signature(
            [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in [*parameters, *own]], return_annotation=None
        )
        command.__name__, command.__doc__ = function.__name__, function.__doc__
        command.__signature__ = signature  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()}
        return command

    return decorate


def _parameter(field: dataclasses.Field[Any], hint: Any, positional: bool) -> inspect.Parameter:
    help_text = str(field.metadata["help"])
    default = field.default
    if default is dataclasses.MISSING and field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
    many = _is_tuple(hint)
    annotation: Any
    if positional:
        annotation = Annotated[list[str] if many else hint, typer.Argument(help=help_text)]
        default = None if many else default
        if many:
            annotation = Annotated[list[str] | None, typer.Argument(help=help_text)]
    elif field.name == "backbone":
        annotation = BackboneOption
    else:
        if many and default is not dataclasses.MISSING:
            default = ",".join(map(str, default)) if default is not None else None
            help_text += " A list with commas."
        annotation = Annotated[_plain_type(hint), typer.Option(*field.metadata.get("options", ()), help=help_text)]
    if default is dataclasses.MISSING:
        default = inspect.Parameter.empty
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _plain_type(hint: Any) -> Any:
    """What Typer reads for a field: a list arrives as text, everything else as it is."""
    if not _is_tuple(hint):
        return hint if get_origin(hint) is not Mapping else str
    return str | None if NoneType in get_args(hint) else str


def _tuple_type(hint: Any) -> Any:
    options = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    return next((option for option in options if get_origin(option) is tuple), None)


def _is_tuple(hint: Any) -> bool:
    return _tuple_type(hint) is not None


def _value(name: str, value: Any, hint: Any, parse: Callable[[str], Any] | None = None) -> Any:
    """An option's value as the field wants it.

    Args:
        parse: reads one word of a list, where the type of its elements does not.
    """
    inner = _tuple_type(hint)
    if inner is None or value is None:
        return () if inner is not None and NoneType not in get_args(hint) else value
    words = value if isinstance(value, list) else [word.strip() for word in value.split(",") if word.strip()]
    element = parse or get_args(inner)[0]
    if element in (str, Any) or get_origin(element) is Literal:
        return tuple(words)
    try:
        return tuple(element(word) for word in words)
    except ValueError as error:
        raise BadInput(f"{name} is {value!r}; give numbers with commas between them", field=name) from error
