"""A command is a function: its signature says what is typed, its docstring what that means.

What stands before ``*`` are arguments, what stands behind it options; ``set_`` is ``--set``. Each has its line under
"Args:" in the docstring, or in ``COMMON``. ``typed`` stands for flags that are settings of an experiment (``FLAGS``).
"""

import inspect
import re
from collections.abc import Callable
from copy import copy
from functools import wraps
from typing import Annotated, Any, get_args

import typer

from foveate.cli.flags import FLAGS, Flag, option_of
from foveate.cli.screen import guarded

AtLeastOne = Annotated[int | None, typer.Option(min=1)]
COMMON = {
    "run": "A run folder.",
    "data": "Folder of pictures, or a CSV manifest.",
    "paths": "Pictures or folders of pictures.",
    "config": "YAML file with settings of an experiment; typed flags win over it.",
    "tta": "Test-time augmentation: none, flip, flips, shifts, rotations or plants8.",
    "limit": "Only so many pictures, spread evenly over the set.",
    "quarantine": "Leave out pictures with errors instead of refusing.",
    "json": "Also write everything as JSON.",
    "seed": "Random seed.",
    "device": "auto, cpu or cuda.",
    "ray": "Work in a Ray cluster: local, auto or its host:port; all nodes see the folders under the same paths.",
}


def command(*flags: str, needs: tuple[str, ...] = ()) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The function as typer takes it, guarded. Those of ``flags`` that were typed come as its argument ``typed``.

    Args:
        needs: flags that must be typed.
    """
    former = {name: known for name in flags if (known := FLAGS[name].former)}

    def make(function: Callable[..., None]) -> Callable[..., None]:
        about, _, told = inspect.cleandoc(function.__doc__ or "").partition("\n\nArgs:\n")
        lines = re.findall(r"^    (\w+): (.*(?:\n     .*)*)", told, re.MULTILINE)
        helps = COMMON | {name: " ".join(text.split()) for name, text in lines}

        @wraps(function)
        def call(**given: Any) -> None:
            typed = {name: given.pop(name) for name in flags}
            for name, (old, now) in former.items():
                value = given.pop(old)
                typed[name] = now.get(value, value) if typed[name] is None else typed[name]
            if flags:
                given["typed"] = {name: value for name, value in typed.items() if value is not None}
            guarded(function)(**given)

        parameters: list[inspect.Parameter] = []
        for parameter in inspect.signature(function).parameters.values():
            if parameter.name == "typed":
                parameters += (_flag(name, FLAGS[name], name in needs) for name in flags)
                parameters += (_flag(old, Flag(""), hidden=True) for old, _ in former.values())
            else:
                parameters.append(_own(parameter, helps))
        call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what typer reads
        call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        call.__doc__ = about
        return call

    return make


def _own(parameter: inspect.Parameter, helps: dict[str, str]) -> inspect.Parameter:
    """An argument, or an option, with its help."""
    kind, said = parameter.annotation, None
    if hasattr(kind, "__metadata__"):
        kind, said = get_args(kind)
    info = copy(said) or (typer.Option() if parameter.kind is parameter.KEYWORD_ONLY else typer.Argument())
    info.help = info.help or helps[parameter.name]
    info.show_default = parameter.default is not parameter.empty
    if parameter.kind is parameter.KEYWORD_ONLY:
        info.param_decls = (f"--{parameter.name.rstrip('_').replace('_', '-')}",)
    elif parameter.name == "run":
        info.metavar = "RUN"
    return parameter.replace(kind=parameter.KEYWORD_ONLY, annotation=Annotated[kind, info])


def _flag(name: str, flag: Flag, needed: bool = False, hidden: bool = False) -> inspect.Parameter:
    typed_as = f"--{name}" if hidden else option_of(name)
    option = typer.Option(typed_as, help=flag.help, metavar=flag.metavar, show_default=False, hidden=hidden)
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if needed else None,
        annotation=Annotated[flag.kind if needed else flag.kind | None, option],
    )
