"""Hostile pickles, real ones: each would make a file if it were run, and none is."""

import functools
import io
import operator
import os
import pickle
import random
import runpy
import subprocess
import sys
import tracemalloc
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.metia_factory import foreign_classes, save_checkpoint
from unetr.bundle import ModelError
from unetr.loading.checkpoint import read_metia_checkpoint
from unetr.loading.unpickling import CheckpointError, Storage, Stub, Tensor, unpickle


class Calls:
    """Pickles as a call of any function."""

    def __init__(self, function: Callable, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple:
        return self.call

    def __call__(self) -> None:
        """Only what can be called may stand first in what is reduced."""


def program(marker: Path) -> str:
    return f"open({str(marker)!r}, 'w').close()"


def script(marker: Path) -> str:
    path = marker.with_suffix(".py")
    path.write_text(program(marker))
    return str(path)


def another_file(marker: Path) -> str:
    path = marker.with_suffix(".pt")
    torch.save(Calls(eval, program(marker)), path)
    return str(path)


REFUSED: dict[str, Callable[[Path], Calls]] = {
    "os.system": lambda marker: Calls(os.system, f"touch {marker}"),
    "subprocess": lambda marker: Calls(subprocess.call, ["touch", str(marker)]),
    "eval": lambda marker: Calls(eval, program(marker)),
    "exec": lambda marker: Calls(exec, program(marker)),
    "open": lambda marker: Calls(open, str(marker), "w"),
    "runpy": lambda marker: Calls(runpy.run_path, script(marker)),
    "a pickle in a pickle": lambda marker: Calls(pickle.loads, pickle.dumps(Calls(eval, program(marker)))),
    "through reduce": lambda marker: Calls(functools.reduce, eval, [program(marker), {}]),
    "through map": lambda marker: Calls(list, Calls(map, eval, [program(marker)])),
}
IGNORED: dict[str, Callable[[Path], Calls]] = {
    "torch.load": lambda marker: Calls(functools.partial(torch.load, another_file(marker), weights_only=False)),
    "through getattr": lambda marker: Calls(Calls(getattr, marker, "touch")),
    "through methodcaller": lambda marker: Calls(operator.methodcaller("touch"), marker),
}


@pytest.mark.parametrize("where", ["callbacks", "hyper_parameters", "state_dict"])
@pytest.mark.parametrize("name", [*REFUSED, *IGNORED])
def test_nothing_in_a_checkpoint_is_run(tmp_path, name, where):
    marker = tmp_path / "was_run"
    hostile = (REFUSED | IGNORED)[name](marker)
    entries: dict[str, Any] = {where: {"model.x": hostile}}
    path = save_checkpoint(tmp_path / "hostile.cpkt", **entries)
    with foreign_classes():
        torch.load(path, weights_only=False)
    assert marker.exists(), "this pickle is not hostile at all"
    marker.unlink()

    if name in REFUSED:
        with pytest.raises(ModelError, match=r"^\S+ wants to run \S+ when it is opened, and was not opened\.$"):
            read_metia_checkpoint(path)
    elif where == "callbacks":
        assert read_metia_checkpoint(path).network["out_channels"] == 2
    else:
        with pytest.raises(ModelError):
            read_metia_checkpoint(path)
    assert not marker.exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_in_every_protocol(tmp_path, protocol):
    marker = tmp_path / "was_run"
    content = pickle.dumps(Calls(exec, program(marker)), protocol)
    with pytest.raises(CheckpointError, match=r"wants to run builtins\.exec"):
        unpickle(content)
    assert not marker.exists()


def test_no_module_is_imported():
    for name in ("this", "antigravity", "turtledemo.clock", "lib2to3.main"):
        with pytest.raises(CheckpointError):
            unpickle(b"c" + name.encode() + b"\nx\n.")
    assert unpickle(b"ctests.no_such_module\nx\n.") is Stub
    assert unpickle(b"cpip.__main__\nx\n.") is Stub
    assert not {"this", "antigravity", "turtledemo", "lib2to3", "pip.__main__"} & set(sys.modules)


def test_what_is_no_container_and_no_tensor_does_nothing():
    class Foreign(list):
        pass

    Foreign.__module__, Foreign.__qualname__ = "tests.test_unetr_unpickling", "Foreign"
    globals()["Foreign"] = Foreign
    try:
        one = Foreign([1, 2])
        vars(one)["note"] = "kept by pickle"
        content = pickle.dumps({"one": one, "dict": OrderedDict(a=1), "set": {1, 2}}, 2)
    finally:
        del globals()["Foreign"]
    read = unpickle(content)
    assert type(read["one"]) is Stub
    assert not vars(read["one"])
    assert read["dict"] == {"a": 1}
    assert unpickle(pickle.dumps({"a": {1: 2, "b": 3}, (1, 2): 4}, 0)) == {"a": {"b": 3}}


GLOBAL = b"ctorch._utils\n_rebuild_tensor_v2\n"
STORAGE = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x06tQ"


def rebuilt(view: bytes) -> bytes:
    return b"\x80\x02" + GLOBAL + b"(" + STORAGE + view + b"\x89NtR."


def test_a_tensor_is_described():
    tensor = unpickle(rebuilt(b"K\x00(K\x02K\x03t(K\x03K\x01t"))
    assert tensor == Tensor(Storage("Float", "0", 6), 0, (2, 3), (3, 1))


@pytest.mark.parametrize(
    "view",
    [
        b"K\x01(K\x02K\x03t(K\x03K\x01t",  # one number too far
        b"K\x00(K\x02K\x04t(K\x03K\x01t",
        b"K\x00(\x8a\x06\x00\x00\x00\x00\x00\x7ft(K\x00t",  # the same number 2 ** 46 times
        b"K\x00(J\xff\xff\xff\xfft(K\x01t",  # -1
        b"J\xff\xff\xff\xff(K\x02t(K\x01t",
        b"K\x00(K\x02K\x03t(K\x03t",
        b"K\x00(K\x01t(\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01t",  # a step of 2 ** 64
        b"K\x00(" + 9 * b"K\x01" + b"t(" + 9 * b"K\x01" + b"t",  # nine axes
        b"K\x00(G@\x00\x00\x00\x00\x00\x00\x00t(K\x01t",  # 2.0
        b"K\x00X\x01\x00\x00\x00aX\x01\x00\x00\x00b",
        b"K\x00cother\nThing\n(K\x01t",
    ],
)
def test_no_tensor_lies_beyond_its_storage(view):
    with pytest.raises(CheckpointError, match="is damaged"):
        unpickle(rebuilt(view))


@pytest.mark.parametrize(
    "state",
    [b"}X\x06\x00\x00\x00lengthJ\xff\xff\xff\x7fs", b"N}X\x06\x00\x00\x00lengthJ\xff\xff\xff\x7fs\x86"],
)
def test_what_was_checked_cannot_be_changed_afterwards(state):
    """BUILD gives an object new attributes: to no storage, no tensor, and no function of ours."""
    for target in (STORAGE, rebuilt(b"K\x00(K\x02t(K\x01t")[2:-1], GLOBAL):
        with pytest.raises(CheckpointError, match="is damaged"):
            unpickle(b"\x80\x02" + target + state + b"b.")
    for kind in (b"ccollections\nOrderedDict\n", b"cother\nThing\n"):
        with pytest.raises(CheckpointError, match="is damaged"):
            unpickle(b"\x80\x02" + kind + state + b"b.")
    assert not hasattr(Stub, "length")


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02Nr\x00\x00\x00\x01.",  # object number 2 ** 24 of one
        b"\x80\x02Np16777216\n.",
        b"\x80\x04\x8e\x00\x00\x00\x00\x00\x00\x00\x10.",  # 2 ** 60 bytes
        b"\x80\x05\x96\x00\x00\x00\x00\x00\x00\x00\x10.",
        b"\x80\x04\x8d\x00\x00\x00\x00\x00\x00\x00\x10.",
        b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x10N.",
        b"\x80\x02\x8b\xff\xff\xff\x7f.",
    ],
)
def test_memory_is_not_reserved_on_a_pickles_word(content):
    tracemalloc.start()
    try:
        with suppress(CheckpointError):
            unpickle(content)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "nest", [b"\x85" * 500_000, b"\x94h\x00\x86" * 60, b"2\x86" * 60], ids=["deep", "wide", "doubled"]
)
def test_nothing_but_names_is_hashed(nest):
    """A tuple nested deep overflows the stack, and one that holds itself twice, 60 times over, never ends."""
    for before, after in ((b"}", b"Ns"), (b"}(", b"Nu"), (b"(", b"Nd"), (b"\x8f(", b"\x90"), (b"(", b"\x91")):
        unpickle(b"\x80\x04" + before + b")" + nest + after + b".")
    unpickle(b"\x80\x04ccollections\nOrderedDict\n(](]()" + nest + b"NeetR.")
    with pytest.raises(CheckpointError, match="is damaged"):
        unpickle(b"\x80\x04(\x8c\x07storage)" + nest + b"\x8c\x010\x8c\x03cpuK\x06tQ.")


@pytest.mark.parametrize("content", [b"", b".", b"\x80\x02", b"not a pickle", b"(((", b"\x82\x01.", b"P0\n.", b"NQ."])
def test_no_pickle(content):
    with pytest.raises(CheckpointError, match="is damaged"):
        unpickle(content)


def test_any_damage_is_told_in_one_way():
    """Thousands of damaged pickles: each is read, or refused in the one way; none does anything else."""
    saved = io.BytesIO()
    torch.save({"state_dict": OrderedDict(a=torch.zeros(2, 3)), "hyper_parameters": {"x": (1, 2.0, None)}}, saved)
    whole = zipfile.ZipFile(saved).read("archive/data.pkl")
    assert unpickle(whole)["hyper_parameters"] == {"x": (1, 2.0, None)}
    chance = random.Random(0)
    refused = 0
    for _ in range(3000):
        damaged = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        try:
            unpickle(bytes(damaged))
        except CheckpointError:
            refused += 1
    assert refused > 1000
