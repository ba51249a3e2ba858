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
import sys
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, Self

ITEM_BYTES = {
    **dict.fromkeys(("Double", "Long"), 8),
    **dict.fromkeys(("Float", "Int"), 4),
    **dict.fromkeys(("Half", "BFloat16", "Short"), 2),
    **dict.fromkeys(("Char", "Byte", "Bool"), 1),
}
"""Bytes of one element, by the name of its storage."""
_MOST, _DEEPEST = 2**63, 8
"""Elements of a tensor, and its axes."""
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

    Of a dictionary only what stands under a name is kept.

    Raises
    ------
    CheckpointError
        When the pickle is damaged, or wants to run something.
    """
    try:
        return _Unpickler(io.BytesIO(content)).load()
    except CheckpointError:
        raise
    except Exception as error:  # a pickle can be wrong in as many ways as a program
        raise CheckpointError(f"is damaged: {type(error).__name__} in its data.pkl") from None


class _Unpickler(pickle._Unpickler):
    """Python's own in Python: the one in C reserves as much memory as a pickle claims to need.

    Nothing that a pickle holds is hashed but names: nested tuples can take for ever, or more stack than there is.
    """

    dispatch: ClassVar[dict[int, Any]] = {
        **pickle._Unpickler.dispatch,
        pickle.SETITEM[0]: lambda self: _keep_named(self.stack[-3], [self.stack.pop(-2), self.stack.pop()]),
        pickle.SETITEMS[0]: lambda self: _keep_named(self.metastack[-1][-1], self.pop_mark()),
        pickle.DICT[0]: lambda self: _replace_marked(self, lambda items: _keep_named({}, items)),
        pickle.EMPTY_SET[0]: lambda self: self.append(Stub()),
        pickle.FROZENSET[0]: lambda self: _replace_marked(self, Stub),
    }
    for _unknown in (pickle.BYTEARRAY8, pickle.NEXT_BUFFER, pickle.EXT1, pickle.EXT2, pickle.EXT4):
        del dispatch[_unknown[0]]

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
        if not type(word) is type(kind) is type(key) is str or type(length) is not int:
            raise ValueError("no storage")
        if word != "storage" or kind not in ITEM_BYTES or not 0 <= length < _MOST:
            raise ValueError("no storage")
        return Storage(kind, key, length)


class _Dictionary(dict[Any, Any]):
    """An ordered dictionary, made empty; attributes that it had are dropped."""

    __slots__ = ()

    def __init__(self, *_: object, **__: object) -> None: ...
    def __setstate__(self, _: object) -> None: ...


def _keep_named(container: Any, items: list[Any]) -> Any:
    """Put keys and values, which take turns, into a dictionary where the key is a name."""
    for key, value in zip(items[::2], items[1::2], strict=True):
        if type(key) is str:
            container[key] = value
    return container


def _replace_marked(unpickler: Any, make: Callable[[list[Any]], Any]) -> None:
    made = make(unpickler.pop_mark())
    unpickler.append(made)


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
    if not (
        type(storage) is Storage and type(shape) is type(strides) is tuple and len(shape) == len(strides) <= _DEEPEST
    ):
        raise ValueError("no tensor")
    if not all(type(number) is int and 0 <= number < _MOST for number in (offset, *shape, *strides)):
        raise ValueError("no tensor")
    elements = math.prod(shape)
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if elements > storage.length or (elements and last >= storage.length):
        raise ValueError("a tensor beyond its storage")
    return Tensor(storage, offset, shape, strides)


_ADMITTED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): _Dictionary,
    ("torch._utils", "_rebuild_tensor_v2"): _Call(_tensor),
    ("torch._utils", "_rebuild_parameter"): _Call(lambda data, *_: data),
}
