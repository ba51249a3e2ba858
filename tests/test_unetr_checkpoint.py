"""The MetIA checkpoint: the same logits to the bit, once converted, and one plain sentence for every other file."""

import os
import random
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
from monai.networks.nets import UNETR

from tests.metia_factory import PARAMETERS, network, save_checkpoint, state_dict
from unetr.__main__ import main
from unetr.bundle import ModelError, read_bundle
from unetr.loading import conversion
from unetr.loading.archive import Archive
from unetr.loading.checkpoint import check_metia_checkpoint, read_metia_checkpoint
from unetr.loading.conversion import convert
from unetr.loading.converted import bundle_folder, converted_bundle, remove_outdated, usable_bundle
from unetr.loading.network import load_network
from unetr.loading.unpickling import CheckpointError
from unetr.training import export

WINDOW = torch.rand(2, 1, 32, 32, 32, generator=torch.Generator().manual_seed(5))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("metia") / "tiny.cpkt")


@torch.inference_mode()
def logits(built: torch.nn.Module) -> torch.Tensor:
    return built.eval()(WINDOW)


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    "other",
    [
        {},
        {"pos_embed": "conv", "new_out_channels": 3, "roi_size": 48, "hidden_size": 12},
        {"norm_name": "batch", "roi_size": [32, 48, 16], "feature_size": 2},
        {"out_channels": 2, "mlp_dim": 20, "num_heads": 4, "infer_overlap": 0},
    ],
    ids=str,
)
def test_the_logits_are_the_same_to_the_bit(tmp_path, other):
    parameters = PARAMETERS | other
    original = network(parameters, seed=4)
    convert(save_checkpoint(tmp_path / "tiny.ckpt", original, parameters), tmp_path / "bundle")
    info = read_bundle(tmp_path / "bundle")
    window = torch.rand(1, 1, *info.network["img_size"], generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        expected, got = original(window), load_network(info)(window)
    assert expected.std() > 0.01
    assert expected.shape[1] == parameters["new_out_channels"]
    assert torch.equal(got, expected)
    assert info.postprocessing.overlap == parameters["infer_overlap"]


def test_weights_of_other_precisions_become_float32(tmp_path):
    original = network().bfloat16()
    read = read_metia_checkpoint(save_checkpoint(tmp_path / "half.ckpt", original))
    restored = network(seed=9)
    restored.load_state_dict(read.weights)
    assert {tensor.dtype for tensor in read.weights.values()} == {torch.float32}
    assert torch.equal(logits(restored), logits(original.float()))


def test_weights_that_are_views_of_one_another_are_told_apart(tmp_path):
    """Turned and shifted views, several of them in one storage."""
    state = state_dict(original := network())
    name = "model.vit.blocks.0.mlp.linear1.weight"
    turned = torch.cat([torch.zeros(7), state[name].T.reshape(-1)])[7:].view(24, 32).T
    together = torch.cat([state["model.vit.norm.weight"], state["model.vit.norm.bias"]])
    views = {name: turned, "model.vit.norm.weight": together[:24], "model.vit.norm.bias": together[24:]}
    assert not turned.is_contiguous()
    read = read_metia_checkpoint(save_checkpoint(tmp_path / "views.ckpt", state_dict=state | views))
    restored = network(seed=9)
    restored.load_state_dict(read.weights)
    assert torch.equal(logits(restored), logits(original))


def test_the_bundle_says_what_it_is(checkpoint, tmp_path):
    seen: list[float] = []
    convert(checkpoint, tmp_path / "new" / "bundle", name="Ours", version="2.0", on_progress=seen.append)
    assert files(tmp_path / "new") == [
        "bundle/configs/inference.json",
        "bundle/configs/metadata.json",
        "bundle/models/model.safetensors",
    ]
    info = read_bundle(tmp_path / "new" / "bundle")
    assert (info.name, info.version, info.preprocessing) == ("Ours", "2.0", "metia")
    assert "not measured here" in info.statement
    assert "Not a medical device" in info.statement
    assert info.network["_target_"] == "monai.networks.nets.UNETR"
    assert info.metadata["network_data_format"]["outputs"]["pred"]["activation"] == "softmax"
    assert "tiny.cpkt, SHA-256" in info.metadata["data_source"]
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_monai_itself_loads_the_bundle(checkpoint, tmp_path):
    """With its own configuration parser, and every weight in its place."""
    from monai.bundle import ConfigParser
    from safetensors.torch import load_file

    convert(checkpoint, tmp_path / "bundle")
    parser = ConfigParser()
    parser.read_config(tmp_path / "bundle" / "configs" / "inference.json")
    built = parser.get_parsed_content("network_def")
    assert isinstance(built, UNETR)
    built.load_state_dict(load_file(tmp_path / "bundle" / "models" / "model.safetensors"))
    assert torch.equal(logits(built), logits(network()))


def without(key: str, entries: dict) -> dict:
    return {name: value for name, value in entries.items() if name != key}


ONE = "model.out.conv.conv.bias"
WRONG_STATES = {
    "none": lambda state: None,
    "a weight is missing": lambda state: without(ONE, state),
    "a weight too many": lambda state: state | {"model.more": torch.zeros(3)},
    "a weight that is a number": lambda state: state | {ONE: 3.0},
    "a weight that is no float": lambda state: state | {ONE: torch.zeros(2, dtype=torch.int8)},
    "only the backbone": lambda state: {name: tensor for name, tensor in state.items() if name.startswith("backbone.")},
}


@pytest.mark.parametrize("kind", WRONG_STATES)
def test_other_weights_are_refused_in_a_sentence(tmp_path, kind):
    state = WRONG_STATES[kind](state_dict(network()))
    refused(save_checkpoint(tmp_path / "other.ckpt", state_dict=state), tmp_path)


@pytest.mark.parametrize(
    "parameters",
    [
        None,
        without("feature_size", PARAMETERS),
        PARAMETERS | {"hidden_size": "24"},
        PARAMETERS | {"mlp_dim": 0},
        PARAMETERS | {"roi_size": (32, 32, 40)},
        PARAMETERS | {"infer_overlap": 1.0},
        PARAMETERS | {"norm_name": "os.system"},
        PARAMETERS | {"num_heads": 7},
        PARAMETERS | {"hidden_size": 3 * 2**40},  # no memory would do
        PARAMETERS | {"feature_size": 8},
        PARAMETERS | {"new_out_channels": 14},
    ],
)
def test_other_parameters_are_refused_in_a_sentence(tmp_path, parameters):
    refused(save_checkpoint(tmp_path / "other.ckpt", hyper_parameters=parameters), tmp_path)


def other_file(kind: str, path: Path, checkpoint: Path) -> None:
    content = checkpoint.read_bytes()
    if kind == "text":
        path.write_text("version https://git-lfs.github.com/spec/v1")
    elif kind == "nothing":
        path.touch()
    elif kind == "only weights":
        torch.save(network().state_dict(), path)
    elif kind == "a tensor":
        torch.save(torch.zeros(3), path)
    elif kind == "before 1.6":
        torch.save({"state_dict": {}, "hyper_parameters": {}}, path, _use_new_zipfile_serialization=False)
    elif kind == "TorchScript":
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), path)
    elif kind == "another zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("readme.txt", "no")
    elif kind == "compressed":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, zipfile.ZipFile(checkpoint) as source:
            for name in source.namelist():
                archive.writestr(name, source.read(name))
    elif kind == "big-endian":
        with zipfile.ZipFile(path, "w") as archive, zipfile.ZipFile(checkpoint) as source:
            for name in source.namelist():
                archive.writestr(name, b"big" if name.endswith("byteorder") else source.read(name))
    elif kind == "a storage is missing":
        with zipfile.ZipFile(path, "w") as archive, zipfile.ZipFile(checkpoint) as source:
            for name in source.namelist():
                if not name.endswith("/data/7"):
                    archive.writestr(name, source.read(name))
    elif kind == "a storage is short":
        with zipfile.ZipFile(path, "w") as archive, zipfile.ZipFile(checkpoint) as source:
            for name in source.namelist():
                archive.writestr(name, source.read(name)[: -4 if name.endswith("/data/7") else None])
    elif kind == "one bit of a weight":
        with zipfile.ZipFile(checkpoint) as source:
            largest = max(source.infolist(), key=lambda entry: entry.file_size)
        middle = largest.header_offset + largest.file_size // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    elif kind == "a folder":
        path.mkdir()


@pytest.mark.parametrize(
    "kind",
    [
        "text",
        "nothing",
        "only weights",
        "a tensor",
        "before 1.6",
        "TorchScript",
        "another zip",
        "compressed",
        "big-endian",
        "a storage is missing",
        "a storage is short",
        "one bit of a weight",
        "a folder",
        "no file",
    ],
)
def test_another_file_is_refused_in_a_sentence(checkpoint, tmp_path, kind):
    other_file(kind, tmp_path / "other.cpkt", checkpoint)
    refused(tmp_path / "other.cpkt", tmp_path)


@pytest.mark.parametrize("share", [0.001, 0.3, 0.7, 0.95, 0.999])
def test_a_file_that_is_cut_off_is_refused(checkpoint, tmp_path, share):
    content = checkpoint.read_bytes()
    (tmp_path / "other.cpkt").write_bytes(content[: int(share * len(content))])
    refused(tmp_path / "other.cpkt", tmp_path)


def test_whatever_is_wrong_with_its_bytes_is_said_as_of_a_checkpoint(checkpoint, tmp_path):
    """In the zip's directory, its end, and the pickle: there a byte may mean anything."""
    content = checkpoint.read_bytes()
    end = content.rindex(b"PK\5\6")
    directory = int.from_bytes(content[end + 16 : end + 20], "little")
    pickle = content.index(b"data.pkl")
    draw = random.Random(5)
    path = tmp_path / "other.cpkt"
    refusals = 0
    for _ in range(150):
        low, high = draw.choice(((directory, end), (directory, end), (end, len(content)), (pickle, pickle + 4000)))
        changed = bytearray(content)
        for _ in range(draw.choice((1, 1, 2, 4))):
            changed[draw.randrange(low, high)] = draw.randrange(256)
        path.write_bytes(changed)
        try:
            with Archive(path) as archive:
                archive.load()
        except (CheckpointError, OSError):  # both are a ModelError to who reads a checkpoint
            refusals += 1
    assert refusals > 60


def refused(path: Path, folder: Path) -> None:
    """One sentence, and nothing is left behind."""
    with pytest.raises(ModelError) as caught:
        convert(path, folder / "out" / "bundle")
    message = str(caught.value)
    assert message.startswith(str(path))
    assert message.isprintable()
    assert message.endswith(".")
    assert len(message) < len(str(path)) + 250
    assert not files(folder / "out")


def test_a_failure_to_write_leaves_nothing(checkpoint, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export, "write_bundle", full)
    with pytest.raises(ModelError, match=r"cannot be written: .*No space left"):
        convert(checkpoint, tmp_path / "out" / "bundle")
    assert not list((tmp_path / "out").iterdir())


def test_a_name_that_dicom_cannot_hold_is_refused(checkpoint, tmp_path):
    with pytest.raises(ModelError, match="1 to 64 characters"):
        convert(checkpoint, tmp_path / "out" / "bundle", name="x" * 65)
    assert not list((tmp_path / "out").iterdir())


def test_what_is_there_is_not_written_over(checkpoint, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ModelError, match="there already"):
        convert(checkpoint, tmp_path)
    assert files(tmp_path) == ["notes.txt"]


def test_the_command(checkpoint, tmp_path, capsys):
    assert main(["convert", str(checkpoint), str(tmp_path / "bundle"), "--name", "Ours"]) == 0
    shown = capsys.readouterr()
    assert str(tmp_path / "bundle") in shown.out
    assert "100%" in shown.err
    assert read_bundle(tmp_path / "bundle").name == "Ours"
    assert main(["convert", str(checkpoint), str(tmp_path / "bundle")]) == 1
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert "there already" in message
    assert "Traceback" not in message


def test_where_only_a_bundle_will_do_the_way_to_one_is_told(checkpoint):
    with pytest.raises(ModelError, match="python -m unetr convert"):
        read_bundle(checkpoint)


def test_a_checkpoint_is_converted_once(checkpoint, tmp_path, monkeypatch):
    copy = Path(shutil.copy2(checkpoint, tmp_path / "copy.cpkt"))
    var_dir = tmp_path / "var"
    with pytest.raises(ModelError, match="is not converted yet"):
        converted_bundle(copy, var_dir)
    bundle = usable_bundle(copy, var_dir)
    assert bundle.parent == var_dir / "models"
    assert converted_bundle(copy, var_dir) == bundle
    state = copy.stat()

    # From now on the file is not even opened: other bytes of the same size and date make no difference.
    copy.write_bytes(b"\0" * state.st_size)
    os.utime(copy, ns=(state.st_atime_ns, state.st_mtime_ns))
    monkeypatch.setattr(conversion, "convert", None)
    assert usable_bundle(copy, var_dir) == converted_bundle(copy, var_dir) == bundle
    assert torch.equal(logits(load_network(read_bundle(bundle))), logits(network()))


def test_another_checkpoint_in_its_place_is_another_model(tmp_path):
    path, var_dir = tmp_path / "tiny.cpkt", tmp_path / "var"
    before = usable_bundle(save_checkpoint(path, network(seed=1)), var_dir)
    state = path.stat()
    save_checkpoint(path, network(seed=2))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    after = usable_bundle(path, var_dir)
    assert read_bundle(after).sha256 != read_bundle(before).sha256


def test_what_was_converted_goes_with_its_checkpoint(checkpoint, tmp_path):
    var_dir, replaced, removed = tmp_path / "var", tmp_path / "replaced.cpkt", tmp_path / "removed.cpkt"
    for copy in (replaced, removed):
        shutil.copy2(checkpoint, copy)
        usable_bundle(copy, var_dir)
    kept = usable_bundle(checkpoint, var_dir)
    put_there = var_dir / "models" / "mine"
    shutil.copytree(kept, put_there)
    next(put_there.glob("*.txt")).unlink()  # a bundle like any other
    remove_outdated(var_dir)
    assert len(list((var_dir / "models").iterdir())) == 4, "all checkpoints are there"
    os.utime(replaced, ns=(0, 0))
    removed.unlink()
    remove_outdated(var_dir)
    assert {path.name for path in (var_dir / "models").iterdir()} == {kept.name, "mine"}
    assert read_bundle(kept)


def test_what_a_killed_conversion_left_is_removed(tmp_path):
    models = tmp_path / "models"
    killed, running, other = (models / name for name in (".0123456789abcdef-x7", ".0123456789abcdef-y8", ".mine-1"))
    for folder in (killed, running, other):
        (folder / "part").mkdir(parents=True)
    for folder in (killed, other):
        os.utime(folder, (0, 0))
    remove_outdated(tmp_path)
    assert sorted(models.iterdir()) == sorted([running, other])


def test_what_another_worker_removes_first_is_no_error(checkpoint, tmp_path, monkeypatch):
    bundle = usable_bundle(checkpoint, tmp_path)

    def gone(*_: object, **__: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr("pathlib.Path.read_text", gone)
    remove_outdated(tmp_path)
    assert bundle.exists()


def test_two_workers_that_convert_at_once_agree(checkpoint, tmp_path, monkeypatch):
    real = export.write_bundle

    def slow(bundle, *rest):
        real(bundle, *rest)
        if not bundle_folder(checkpoint, tmp_path).exists():
            monkeypatch.setattr(export, "write_bundle", real)
            usable_bundle(checkpoint, tmp_path)

    monkeypatch.setattr(export, "write_bundle", slow)
    bundle = usable_bundle(checkpoint, tmp_path)
    assert read_bundle(bundle).name == "MetIA"
    assert [path.name for path in (tmp_path / "models").iterdir()] == [bundle.name]


def test_a_folder_is_its_own_bundle(tmp_path):
    assert usable_bundle(tmp_path, tmp_path) == tmp_path
    missing = tmp_path / "nowhere"
    assert converted_bundle(missing, tmp_path) == missing
    assert not files(tmp_path)


def test_plain_weights_are_told_where_they_go(tmp_path):
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "plain.pt")
    for look in (read_metia_checkpoint, check_metia_checkpoint):
        with pytest.raises(ModelError, match=r"plain weights, which go into a bundle .*docs/models\.md"):
            look(tmp_path / "plain.pt")


def test_whether_a_checkpoint_can_be_converted_is_told_without_its_weights(checkpoint, monkeypatch):
    monkeypatch.setattr(Archive, "read", None)
    check_metia_checkpoint(checkpoint)
