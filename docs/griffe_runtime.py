"""What griffe, which reads source without running it, does not see of this library.

* Algorithms and `RunConfig` extend their docstrings when they are defined: one line for each hyperparameter or option,
  made from its declaration.
* Equinox makes dataclasses of modules without a decorator.
* Formulas in docstrings are plain text (k*, a_{k*}), not Markdown.
"""

import dataclasses
import importlib
import inspect
import re

import equinox as eqx
import griffe

HEADINGS = {name: f"Attributes: {name}" for name in ("Hyperparameters:", "Options:", "Metrics:")}


class RuntimeExtension(griffe.Extension):
    """Completes docstrings and signatures from the imported classes."""

    def on_class(self, *, cls: griffe.Class, **others) -> None:
        found = imported(cls)
        if found is None:
            return
        text = inspect.cleandoc(found.__doc__ or "")
        headings = [heading for heading in HEADINGS if f"\n{heading}\n" in text]
        if headings and cls.docstring is not None:
            for heading in headings:
                text = text.replace(f"\n{heading}\n", f"\n{HEADINGS[heading]}\n")
            cls.docstring.value = text
        generated = issubclass(found, eqx.Module) or "dataclass" in cls.labels
        if generated and not getattr(cls.members.get("__init__"), "lineno", None):
            cls.set_member("__init__", initialiser(cls, found))

    def on_object(self, *, obj: griffe.Object, **others) -> None:
        if obj.docstring is not None:
            obj.docstring.value = plain(obj.docstring.value)


def imported(cls: griffe.Class) -> type | None:
    """The class itself, if it can be found at its own place."""
    try:
        found = getattr(importlib.import_module(cls.module.path), cls.name, None)
    except ImportError:
        return None
    return found if isinstance(found, type) else None


def initialiser(cls: griffe.Class, found: type) -> griffe.Function:
    """The signature that a dataclass gets."""
    parameters = [griffe.Parameter("self", kind=griffe.ParameterKind.positional_or_keyword)]
    for field in dataclasses.fields(found):
        made = field.default_factory is not dataclasses.MISSING
        value = field.default_factory() if made else field.default
        default = None if value is dataclasses.MISSING else repr(value)
        annotation = next(
            (base.members[field.name].annotation for base in (cls, *parents(cls)) if field.name in base.members), None
        )
        kind = griffe.ParameterKind.keyword_only if field.kw_only else griffe.ParameterKind.positional_or_keyword
        parameters.append(griffe.Parameter(field.name, kind=kind, annotation=annotation, default=default))
    return griffe.Function("__init__", parameters=griffe.Parameters(*parameters), returns="None")


def parents(cls: griffe.Class) -> list[griffe.Class]:
    try:
        return cls.mro()
    except ValueError:
        return []


def plain(text: str) -> str:
    """A docstring whose formulas Markdown leaves alone: asterisks outside code are escaped."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else part.replace("*", r"\*") for part in parts)
