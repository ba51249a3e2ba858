"""What the pickle of a PyTorch checkpoint says, without doing what it says.

A pickle is a program: it may call whatever it can name. Here it can name nothing: tensors become descriptions, an
ordered dictionary becomes a plain one, and every other name stands for :class:`Stub`, which does nothing whatever is
done with it. No module is imported and no tensor is made.

Safety rests on that alone. That a pickle which names a function of Python's own library is refused as well, is so that
somebody is told.
"""

import io
import math
import pickle
import pickletools
import sys
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Callable
from typing import Any, NamedTuple, Self

ITEM_BYTES = {
    **dict.fromkeys(("Double", "Long"), 8),
    **dict.fromkeys(("Float", "Int"), 4),
    **dict.fromkeys(("Half", "BFloat16", "Short"), 2),
    **dict.fromkeys(("Char", "Byte", "Bool"), 1),
}
"""Bytes of one element, by the name of its storage."""
# fmt: off
_OF_VALUES = {
    "_codecs", "_operator", "_random", "argparse", "array", "collections", "copyreg", "dataclasses", "datetime",
    "decimal", "enum", "fractions", "functools", "logging", "numbers", "operator", "pathlib", "random", "re", "string",
    "types", "typing", "uuid", "zoneinfo",
}
"""Modules of Python's own library whose classes hold values."""
_BUILTINS = {
    "bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "getattr", "int", "list", "object", "range",
    "set", "slice", "str", "tuple", "type",
}
"""Builtins that may be named; enumerations and nested classes are pickled with getattr."""
# fmt: on


class CheckpointError(ValueError):
    """A file that is no whole checkpoint, or wants to run something; the message follows the file's name."""


class Stub:
    """Stands for an object of any class or function, and does nothing."""

    def __new__(cls, *_: object, **__: object) -> Self:
        return super().__new__(cls)

    def __init__(self, *_: object, **__: object) -> None: ...
    def __call__(self, *_: object, **__: object) -> "Stub":
        return Stub()

    def __setstate__(self, _: object) -> None: ...
    def __setitem__(self, _: object, __: object) -> None: ...
    def append(self, _: object) -> None: ...
    def extend(self, _: object) -> None: ...
    def add(self, _: object) -> None: ...


class Storage(NamedTuple):
    """The name of its kind without "Storage" (``Float``), its file in the archive, and its number of elements.

    Like :class:`Tensor` a tuple: what was checked when it was made cannot be changed by the rest of the pickle.
    """

    kind: str
    key: str
    length: int


class Tensor(NamedTuple):
    """A view of a storage: where it begins, its shape and its strides, all in elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def unpickle(content: bytes) -> Any:
    """Give what a pickle holds: builtin values and containers, :class:`Tensor`, and :class:`Stub` for anything else.

    Raises
    ------
    CheckpointError
        When the pickle is damaged, or wants to run something.
    """
    try:
        _check_claims(content)
        return _Unpickler(io.BytesIO(content)).load()
    except CheckpointError:
        raise
    except Exception as error:  # a pickle can be wrong in as many ways as a program
        raise CheckpointError(f"is damaged: {type(error).__name__} in its data.pkl") from None


def _check_claims(content: bytes) -> None:
    """Refuse strings longer than the pickle, and places in its memory beyond what it can fill: both are reserved."""
    for number, (operation, argument, _) in enumerate(pickletools.genops(content)):
        if operation.name in ("PUT", "BINPUT", "LONG_BINPUT") and not (argument is None or argument <= number):
            raise CheckpointError("claims more objects than it holds")


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Never imports: gives one of the few things below, by name."""
        # Up to protocol 2, which PyTorch writes, names are those of Python 2.
        module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
        if module == "torch" and name.endswith("Storage"):
            return name.removesuffix("Storage")
        if (module, name) in _ADMITTED:
            return _ADMITTED[module, name]
        top = module.partition(".")[0]
        harmless = name in _BUILTINS if module == "builtins" else top in _OF_VALUES
        if top in sys.stdlib_module_names and not harmless:
            said = "".join(letter for letter in f"{module}.{name}"[:80] if letter.isprintable())
            raise CheckpointError(f"wants to run {said} when it is opened, and was not opened")
        return Stub

    def persistent_load(self, pid: Any) -> Storage:
        """A storage, as PyTorch refers to it: ("storage", its class, its file, where it was, its length)."""
        word, kind, key, _, length = pid
        if word != "storage" or kind not in ITEM_BYTES or type(key) is not str or type(length) is not int or length < 0:
            raise ValueError("no storage")
        return Storage(kind, key, length)


class _Dictionary(dict[Any, Any]):
    """An ordered dictionary; attributes that it had are dropped."""

    __slots__ = ()

    def __setstate__(self, _: object) -> None: ...


class _Call:
    """A function that a pickle may call, and not change."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setstate__(self, _: object) -> None:
        raise ValueError("a function has no state")


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: object) -> Tensor:
    """A view that lies within its storage and is no larger."""
    numbers = [offset, *shape, *strides]
    if type(storage) is not Storage or len(shape) != len(strides) or any(type(n) is not int or n < 0 for n in numbers):
        raise ValueError("no tensor")
    elements = math.prod(shape)
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if elements > storage.length or (elements and last >= storage.length):
        raise ValueError("a tensor beyond its storage")
    return Tensor(storage, offset, tuple(shape), tuple(strides))


_ADMITTED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): _Dictionary,
    ("torch._utils", "_rebuild_tensor_v2"): _Call(_tensor),
    ("torch._utils", "_rebuild_parameter"): _Call(lambda data, *_: data),
}
