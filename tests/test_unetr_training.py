"""Patches, loss, a training that is stopped and goes on, and its weights as a bundle that can be loaded."""

import itertools
import json
import logging
import math
import os
import pickle
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from scipy import ndimage

from tests import factory
from unetr.__main__ import main
from unetr.bundle import read_bundle
from unetr.loading.network import load_network
from unetr.predictor import load_predictor
from unetr.synthesis.generator import SyntheticVolume
from unetr.synthesis.pool import Case, write_case
from unetr.training.checkpoint import WrittenBeside
from unetr.training.module import LesionModule, build_network, lesion_loss
from unetr.training.patches import Patches

SHAPE = (48, 52, 44)
DEFINITION: dict[str, Any] = {
    "_target_": "unetr.network.FoldedUNETR",
    "in_channels": 1,
    "out_channels": 2,
    "img_size": [32, 32, 32],
    "feature_size": 2,
    "hidden_size": 16,
    "mlp_dim": 64,
    "num_heads": 1,
}


def head(lesions=factory.LESIONS, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return image (float32), lesion fraction (float32) and brain (bool) of a phantom."""
    volume = factory.volume(shape=SHAPE, spacing=(2.0, 2.0, 2.0), lesions=lesions, seed=seed)
    fraction = (factory.label_map(volume, lesions) > 0).astype(np.float32)
    return volume.array.astype(np.float32) / 350, fraction, volume.array > 200


def case(name: str = "a", **kind: Any) -> Case:
    image, fraction, brain = head(**kind)
    return Case(name, image.astype(np.float16), (fraction * 255).astype(np.uint8), brain.astype(np.uint8))


def draw(patches: Patches, count: int) -> list[dict[str, torch.Tensor]]:
    return list(itertools.islice(patches, count))


def test_patches_have_their_shape_and_scale():
    for patch in draw(Patches([case("a"), case("b", seed=1)], 24), 20):
        for values in patch.values():
            assert values.shape == (1, 24, 24, 24)
            assert values.dtype == torch.float32
        assert 0 <= float(patch["fraction"].min()) <= float(patch["fraction"].max()) <= 1
        assert 0 <= float(patch["image"].min()) <= float(patch["image"].max()) < 5 * 1.19


def test_a_patch_shows_one_place_in_image_and_truth():
    for patch in draw(Patches([case()], 24, lesion_share=1.0), 10):
        lesion = patch["fraction"] > 0.5
        brain = patch["brain"] > 0.5
        assert brain[lesion].all()
        assert patch["image"][brain].min() > 2 * patch["image"][~brain].median() or brain.all()
        tissue = ~lesion & (patch["image"] > 0.5)
        assert patch["image"][lesion].min() > 1.4 * patch["image"][tissue].median()


def test_the_share_of_patches_with_a_lesion():
    small = [factory.Sphere((15.0, -17.0, 19.0), 4.0)]
    with_lesion = [
        sum(bool(patch["fraction"].any()) for patch in draw(Patches([case(lesions=small)], 16, lesion_share=s), 60))
        for s in (0.0, 0.5, 1.0)
    ]
    assert with_lesion[2] == 60
    assert with_lesion[0] < 20
    assert with_lesion[0] + 8 < with_lesion[1] < 56


def test_lesions_are_seen_alike_whatever_their_size():
    lesions = [factory.Sphere((20.0, -20.0, 20.0), 11.0), factory.Sphere((-17.0, 12.0, -8.0), 2.5)]
    image, fraction, brain = head(lesions)
    marked = fraction * 255
    marked[:, :, : SHAPE[2] // 2] *= 0.6  # the small one has its own value: left and right can be told apart
    seen = [
        float(patch["fraction"].max())
        for patch in draw(Patches([Case("a", image, marked.astype(np.uint8), brain)], 16, lesion_share=1.0), 80)
    ]
    # 22 mm beside 5 mm: alike, the small one is in 40 of 80 patches; by diameter in 15, by volume in 1.
    assert 27 < sum(value < 0.7 for value in seen) < 55


@pytest.mark.parametrize("emphasis", [5.0, 20.0, 63.0])
def test_small_lesions_count_more_inside_and_around_and_large_ones_do_not(emphasis):
    lesions = [factory.Sphere((20.0, -20.0, 20.0), 11.0), factory.Sphere((-17.0, 12.0, -8.0), 2.5)]
    image, fraction, brain = head(lesions)
    fraction[:, :, : SHAPE[2] // 2] *= 0.6  # the small one has its own value
    marked = Case("a", image, (fraction * 255).astype(np.uint8), brain)
    weights: dict[bool, set[float]] = {True: set(), False: set()}
    for patch in draw(Patches([marked], 16, lesion_share=1.0, emphasis=emphasis), 60):
        small = (patch["fraction"] > 0.5) & (patch["fraction"] < 0.7)
        weights[True] |= set(patch["weight"][small].unique().tolist())
        weights[False] |= set(patch["weight"][patch["fraction"] > 0.7].unique().tolist())
        if small[0, 5:11, 5:11, 5:11].any():
            there = torch.from_numpy(ndimage.binary_dilation(small[0].numpy(), np.ones((7, 7, 7))))[None]
            assert (patch["weight"][there] > 2).all()
    assert weights[True] == {emphasis}
    (large,) = weights[False]
    assert large == pytest.approx((20 / 11) ** 2.5, abs=0.3)  # 22 mm in voxels of 2 mm, taken for 1 mm


def test_the_core_of_the_largest_lesions_counts_less_than_healthy_tissue():
    patches = draw(Patches([case(lesions=[factory.Sphere((0.0, 0.0, 0.0), 30.0)])], 16, lesion_share=1.0), 20)
    lesion, around = (
        torch.cat([patch["weight"][keep(patch["fraction"])] for patch in patches])
        for keep in (lambda fraction: fraction > 0.9, lambda fraction: fraction == 0)
    )
    assert lesion.min() < 0.5
    assert set(around.tolist()) == {1.0}


def test_the_loss_of_a_lesion_follows_its_weight():
    fraction = torch.zeros(1, 1, 16, 16, 16)
    fraction[..., 2:5, 2:5, 2:5] = 1
    fraction[..., 10:13, 10:13, 10:13] = 1
    weight = torch.ones_like(fraction)
    weight[..., :7, :7, :7] = 4
    first, second = fraction.clone(), fraction.clone()
    first[..., 2:5, 2:5, 2:5] = 0
    second[..., 10:13, 10:13, 10:13] = 0
    missed_first, missed_second = (float(lesion_loss(logits_of(a), fraction, weight)) for a in (first, second))
    assert missed_first > 1.5 * missed_second
    assert float(lesion_loss(logits_of(fraction), fraction, weight)) == pytest.approx(0, abs=0.05), (
        "the truth costs none"
    )


def test_a_step_weighs_a_false_lesion_as_the_patches_do_a_true_one():
    nothing = torch.zeros(1, 1, 32, 32, 32)
    batch = {"image": nothing.clone(), "fraction": nothing, "brain": nothing, "weight": torch.ones_like(nothing)}
    batch["image"][..., 10:14, 10:14, 10:14] = 1

    def loss(emphasis: float) -> float:
        module = LesionModule(DEFINITION, rate=1e-3, steps=10, cooldown=0, emphasis=emphasis)
        module.network = torch.nn.Conv3d(1, 2, 1)  # bright is lesion
        with torch.no_grad():
            for name, value in module.network.named_parameters():
                value.fill_({"weight": 8.0, "bias": -4.0}[name])
        return float(module.training_step(batch, 0))

    assert loss(30.0) > 1.5 * loss(1.0)


def test_patches_follow_from_their_seed():
    cases = [case()]
    first, again, other = (draw(Patches(cases, 16, seed=seed), 4) for seed in (1, 1, 2))
    assert all(torch.equal(a["image"], b["image"]) for a, b in zip(first, again, strict=True))
    assert not all(torch.equal(a["image"], b["image"]) for a, b in zip(first, other, strict=True))


def test_a_pool_of_healthy_heads_gives_patches_too():
    patches = draw(Patches([case(lesions=())], 24, lesion_share=1.0), 4)
    assert not any(patch["fraction"].any() for patch in patches)


def test_volumes_smaller_than_a_patch_are_refused():
    with pytest.raises(ValueError, match=r"small has \(48, 52, 44\) voxels: too few for patches of 64"):
        Patches([case("small")], 64)


def logits_of(probability: torch.Tensor) -> torch.Tensor:
    return torch.logit(probability.clamp(1e-4, 1 - 1e-4))


def test_the_loss_prefers_the_truth():
    fraction = torch.from_numpy(head()[1])[None, None]
    answers = {
        "true": fraction,
        "unsure": 0.9 * fraction + 0.05,
        "shifted": torch.roll(fraction, 1, 2),
        "more shifted": torch.roll(fraction, 3, 2),
        "nothing": torch.zeros_like(fraction),
        "opposite": 1 - fraction,
    }
    loss = {
        name: float(lesion_loss(logits_of(answer), fraction, torch.ones_like(fraction)))
        for name, answer in answers.items()
    }
    assert loss["true"] < 0.01
    assert loss["true"] + 0.1 < loss["unsure"] < loss["opposite"]
    assert loss["true"] + 0.1 < loss["shifted"] < loss["more shifted"] < loss["opposite"]
    assert loss["true"] + 0.5 < loss["nothing"] < loss["opposite"]


def test_a_batch_without_lesions_has_a_gradient_that_says_something():
    logits = torch.zeros(2, 1, 16, 16, 16, requires_grad=True)
    loss = lesion_loss(logits, torch.zeros(2, 1, 16, 16, 16), torch.ones(2, 1, 16, 16, 16))
    loss.backward()
    assert torch.isfinite(loss)
    assert logits.grad is not None
    assert bool(((logits.grad > 0) & torch.isfinite(logits.grad)).all())


@pytest.mark.parametrize("extreme", [-1e4, 1e4])
def test_the_loss_stays_finite_however_sure_the_network_is(extreme):
    logits = torch.full((1, 1, 8, 8, 8), extreme, requires_grad=True)
    fraction = torch.zeros(1, 1, 8, 8, 8)
    fraction[..., 4:] = 1
    loss = lesion_loss(logits, fraction, torch.ones_like(fraction))
    loss.backward()
    assert torch.isfinite(loss)
    assert logits.grad is not None
    assert bool(torch.isfinite(logits.grad).all())


def test_a_new_network_says_no_lesion_and_leaves_the_brain_open():
    torch.manual_seed(0)
    with torch.inference_mode():
        probability = torch.sigmoid(build_network(DEFINITION).eval()(torch.rand(1, 1, 32, 32, 32)))
    lesion, brain = (float(channel.mean()) for channel in probability[0])
    assert lesion < 0.2
    assert 0.3 < brain < 0.7


def test_the_rate_warms_up_stays_and_falls_to_zero():
    module = LesionModule(DEFINITION, rate=1e-3, steps=100, cooldown=20, warmup=10)
    configured = module.configure_optimizers()
    optimizer, schedule = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    rates = []
    for _ in range(101):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    np.testing.assert_allclose(rates[:10], 1e-3 * np.arange(1, 11) / 10)
    np.testing.assert_allclose(rates[10:81], 1e-3)
    np.testing.assert_allclose(rates[80:], 1e-3 * np.arange(20, -1, -1) / 20, atol=1e-12)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pool")
    for name, seed in (("a", 0), ("b", 1)):
        image, fraction, brain = (torch.from_numpy(array) for array in head(seed=seed))
        write_case(folder, name, SyntheticVolume(image, fraction, brain, (fraction > 0).int(), []))
    return folder


@pytest.fixture
def quiet_lightning(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Lightning's seeding sets the global state of torch, numpy and the environment."""
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")
    monkeypatch.setenv("PL_SEED_WORKERS", "0")
    state = torch.random.get_rng_state()
    yield
    torch.random.set_rng_state(state)


SMALL = ["--batch", "2", "--patch", "32", "--width", "2", "--hidden-size", "16"]


def train(pool: Path, run: Path, steps: int, *more: str) -> dict[str, Any]:
    options = [*SMALL, "--rate", "0.01"]
    assert main(["train", str(pool), "--run", str(run), "--steps", str(steps), *options, *more]) == 0
    return torch.load(run / "last.ckpt", map_location="cpu", weights_only=True)


@pytest.mark.usefixtures("quiet_lightning")
def test_a_training_goes_on_where_it_was_stopped_and_becomes_a_model(pool, tmp_path):
    run, bundle = tmp_path / "run", tmp_path / "bundle"
    first = train(pool, run, 2)
    assert first["global_step"] == 2
    second = train(pool, run, 4)
    assert second["global_step"] == 4
    assert [path.name for path in run.glob("*.ckpt")] == ["last.ckpt"]
    assert list(run.glob("events.out.tfevents.*"))
    moments = [
        next(iter(checkpoint["optimizer_states"][0]["state"].values()))["step"] for checkpoint in (first, second)
    ]
    assert [int(step) for step in moments] == [2, 4]  # the optimiser went on, it did not start again

    name = "encoder1.layer.conv1.conv.weight"
    averaged = second["state_dict"][f"network.{name}"]
    assert not torch.equal(averaged, second["current_model_state"][f"network.{name}"])
    exported = main(["export", str(run), str(bundle), "--name", "mine", "--version", "0.1", "--peak", "0.7"])
    assert exported == 0
    predictor = load_predictor(bundle, "cpu")
    assert (predictor.info.name, predictor.info.postprocessing.peak) == ("mine", 0.7)
    assert predictor.info.network["_target_"] == "unetr.network.FoldedUNETR"
    assert "not a medical device" in predictor.info.statement.lower()
    torch.testing.assert_close(load_network(predictor.info).state_dict()[name], averaged.half().float())
    prediction = predictor.predict(head()[0], np.diag([2.0, 2.0, 2.0, 1.0]))
    assert np.isfinite(prediction.probability).all()

    third = train(pool, tmp_path / "next", 1, "--start-from", str(bundle))
    assert third["global_step"] == 1
    begun = third["state_dict"][f"network.{name}"]  # the first step of the warm-up is a tiny one
    torch.testing.assert_close(begun, averaged.half().float(), atol=1e-3, rtol=0)


@pytest.mark.usefixtures("quiet_lightning")
def test_lightning_has_no_say_of_its_own(pool, tmp_path, recwarn):
    """It recommends a service on the internet, and warns of what is meant."""
    lightning = logging.getLogger("pytorch_lightning")
    lightning.setLevel(logging.INFO)
    train(pool, tmp_path / "run", 1)
    assert not lightning.isEnabledFor(logging.INFO)
    assert [str(one.message) for one in recwarn if "pytorch_lightning" in one.filename] == []


@pytest.mark.usefixtures("quiet_lightning")
def test_a_bundle_says_how_it_was_trained(pool, tmp_path, capsys):
    run, bundle = tmp_path / "run", tmp_path / "bundle"
    train(pool, run, 1)
    assert "where the run had" not in capsys.readouterr().err
    train(pool, run, 2, "--plain", "--seed", "7")
    assert main(["export", str(run), str(bundle), *NAMED]) == 0
    shown = capsys.readouterr()
    assert "seed: 7, where the run had 0" in shown.out + shown.err
    assert "batch: " not in shown.out + shown.err
    metadata = (bundle / "configs" / "metadata.json").read_text()
    first, second = json.loads(metadata)["training"]
    assert [(one["seed"], one["plain"], one["steps_done"]) for one in (first, second)] == [(0, False, 1), (7, True, 2)]
    assert first["pools"] == [pool.name]
    assert {"batch", "patch", "rate", "emphasis", "hard_share", "cooldown", "network"} < first.keys()
    assert str(tmp_path) not in metadata
    assert "synthetic" not in json.loads(metadata)["description"]


@pytest.mark.usefixtures("quiet_lightning")
def test_a_training_goes_on_at_the_rate_that_it_is_given(pool, tmp_path, monkeypatch):
    stepped: list[list[float]] = []
    monkeypatch.setattr(
        LesionModule,
        "on_before_zero_grad",
        lambda _, optimizer: stepped.append([group["lr"] for group in optimizer.param_groups]),
    )
    train(pool, tmp_path, 2)
    kept = train(pool, tmp_path, 4, "--rate", "0.002")
    warm = np.arange(1, 5)[:, None] / 200
    np.testing.assert_allclose(stepped, warm * np.array([[0.01, 0.001]] * 2 + [[0.002, 0.0002]] * 2))
    assert kept["lr_schedulers"][0]["base_lrs"] == pytest.approx([0.002, 0.0002])


@pytest.mark.usefixtures("quiet_lightning")
def test_a_training_stopped_by_the_clock_has_all_its_minutes_when_it_goes_on(pool, tmp_path):
    done = [train(pool, tmp_path, 100_000, "--minutes", "0.03")["global_step"] for _ in range(2)]
    assert 0 < done[0] < done[1]


@pytest.mark.usefixtures("quiet_lightning")
def test_a_gradient_that_is_no_number_ends_the_training_before_it_spoils_the_weights(pool, tmp_path, monkeypatch):
    train(pool, tmp_path / "run", 2)
    monkeypatch.setattr("unetr.training.module.lesion_loss", lambda logits, *_: (logits * float("nan")).sum())
    with pytest.raises(FloatingPointError, match=r"step 2: the gradient of \d+ parameters \(network\..* not finite"):
        train(pool, tmp_path / "run", 4)
    kept = torch.load(tmp_path / "run" / "last.ckpt", map_location="cpu", weights_only=True)
    assert kept["global_step"] == 2
    assert all(tensor.isfinite().all() for tensor in kept["state_dict"].values())


def test_a_network_learns_to_see_lesion_and_brain(monkeypatch):
    """A few steps on two patches bring the loss well below that of saying nothing."""
    torch.manual_seed(0)
    module = LesionModule(DEFINITION, rate=5e-3, steps=60, cooldown=0, warmup=1)
    logged: list[dict[str, torch.Tensor]] = []
    monkeypatch.setattr(
        module, "log_dict", lambda values, **_: logged.append({k: v.detach() for k, v in values.items()})
    )
    optimizer = module.configure_optimizers()["optimizer"]
    patches = draw(Patches([case()], 32, lesion_share=1.0), 2)
    batch = {key: torch.stack([patch[key] for patch in patches]) for key in patches[0]}
    for step in range(60):
        optimizer.zero_grad()
        module.training_step(batch, step).backward()
        optimizer.step()
    assert float(logged[-1]["loss"]) < 0.75 * float(logged[0]["loss"])
    assert float(logged[-1]["dice"]) > 0.4 > float(logged[0]["dice"])
    with torch.inference_mode():
        lesion, brain = module(batch["image"]).split(1, dim=1)
    assert lesion[batch["fraction"] > 0.5].mean() > lesion[batch["fraction"] == 0].mean() + 1
    assert brain[batch["brain"] > 0.5].mean() > brain[batch["brain"] == 0].mean() + 0.2


def test_an_empty_pool_says_what_to_do(tmp_path):
    with pytest.raises(SystemExit, match="python -m unetr synthesize"):
        main(["train", str(tmp_path), "--run", str(tmp_path / "run")])


@pytest.mark.parametrize("place", ["file", "file/run"])
def test_where_no_run_can_be_written_nothing_is_read(pool, tmp_path, monkeypatch, capsys, place):
    (tmp_path / "file").touch()
    monkeypatch.setattr("unetr.commands.train.read_cases", lambda _: pytest.fail("read the volumes"))
    assert "file is none" in refusal(capsys, "train", pool, "--run", tmp_path / place, *SMALL)


def test_a_volume_that_is_cut_off_says_what_to_do(pool, tmp_path):
    folder = tmp_path / "pool"
    shutil.copytree(pool, folder)
    (folder / "b_image.nii").write_bytes((folder / "b_image.nii").read_bytes()[:2000])
    with pytest.raises(SystemExit, match=r"b_image\.nii cannot be read .*: remove b_\*\.nii of .* and make"):
        main(["train", str(folder), "--run", str(tmp_path / "run"), *SMALL])


def test_a_volume_without_its_brain_says_what_to_do(pool, tmp_path):
    folder = tmp_path / "pool"
    shutil.copytree(pool, folder)
    (folder / "b_brain.nii").unlink()
    with pytest.raises(SystemExit, match=r"b_brain\.nii is missing: make the volumes of .*pool again"):
        main(["train", str(folder), "--run", str(tmp_path / "run"), *SMALL])


@pytest.mark.usefixtures("quiet_lightning")
@pytest.mark.parametrize("other", [["--width", "4"], ["--network", "segresnet"]])
def test_a_bundle_of_another_s_network_is_no_start(pool, tiny_model, tmp_path, other, capsys):
    more = ["--hidden-size", "16", "--patch", "32", *other]
    assert main(["train", str(pool), "--run", str(tmp_path), "--start-from", str(tiny_model), *more]) == 1
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert f"The weights {tiny_model / 'models' / 'model.safetensors'} belong to another network than Folded" in message
    assert message.endswith("No option gives the network that they are of.")


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """The one sentence that a command is refused with, however it ends."""
    with pytest.raises(SystemExit) as ended:
        sys.exit(main([str(argument) for argument in arguments]))
    told = str(ended.value.code) if isinstance(ended.value.code, str) else capsys.readouterr().err
    assert "Traceback" not in told
    return told.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has done 30 steps, with all of a checkpoint but the optimiser's part."""
    run = tmp_path_factory.mktemp("begun")
    definition = DEFINITION | {"num_heads": 1, "fold": 2}
    module = LesionModule(definition, rate=1e-3, steps=30, cooldown=0)
    content = {"global_step": 30, "state_dict": module.state_dict(), "hyper_parameters": {"definition": definition}}
    content |= {"optimizer_states": [], "lr_schedulers": [], "loops": {}, "pytorch-lightning_version": "2.6.0"}
    torch.save(content, run / "last.ckpt")
    return run


NAMED = ("--name", "mine", "--version", "1.0")


@pytest.mark.usefixtures("quiet_lightning")
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--width", "8"], "Give --width 2 to begin with them."),
        (["--hidden-size", "32"], "Give --hidden-size 16 to begin with them."),
        (["--window", "48"], "Give --window 32 to begin with them."),
        (
            ["--network", "segresnet", "--width", "8"],
            "Give --network unetr --width 2 --hidden-size 16 to begin with them.",
        ),
    ],
)
def test_a_bundle_of_another_size_tells_its_options(begun, pool, tmp_path, capsys, options, said):
    assert main(["export", str(begun), str(tmp_path / "bundle"), *NAMED]) == 0
    command = ("train", pool, "--run", tmp_path / "run", *SMALL, "--start-from", tmp_path / "bundle", *options)
    assert refusal(capsys, *command).endswith(said)


def test_a_run_that_is_not_there_cannot_be_exported(tmp_path, capsys):
    said = refusal(capsys, "export", tmp_path, tmp_path / "bundle", *NAMED)
    assert f"There is no {tmp_path / 'last.ckpt'}" in said
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize("kept", [0, 100, 5000])
def test_a_checkpoint_that_is_cut_off_is_told_as_such(pool, begun, tmp_path, capsys, kept):
    (tmp_path / "last.ckpt").write_bytes((begun / "last.ckpt").read_bytes()[:kept])
    for command in (("export", tmp_path, tmp_path / "bundle", *NAMED), ("train", pool, "--run", tmp_path, *SMALL)):
        assert f"{tmp_path / 'last.ckpt'} cannot be read, it may be cut off (" in refusal(capsys, *command)
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.pop("state_dict"),
        lambda content: content.pop("global_step"),
        lambda content: content.pop("optimizer_states"),
        lambda content: content["hyper_parameters"].update(definition={}),
        lambda content: content["hyper_parameters"].pop("definition"),
    ],
    ids=["no weights", "no step", "no optimiser", "no network", "no definition"],
)
def test_what_is_no_training_is_neither_exported_nor_gone_on_with(pool, begun, tmp_path, capsys, change):
    content = torch.load(begun / "last.ckpt", weights_only=True)
    change(content)
    torch.save(content, tmp_path / "last.ckpt")
    for command in (("export", tmp_path, tmp_path / "bundle", *NAMED), ("train", pool, "--run", tmp_path, *SMALL)):
        assert "last.ckpt is no checkpoint of a training" in refusal(capsys, *command)


class Runs:
    """A pickle of it makes a folder when it is read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def test_nothing_in_a_checkpoint_is_run(pool, begun, tmp_path, capsys):
    content = torch.load(begun / "last.ckpt", weights_only=True)
    torch.save(content | {"callbacks": Runs(tmp_path / "ran")}, tmp_path / "last.ckpt")
    for command in (("export", tmp_path, tmp_path / "bundle", *NAMED), ("train", pool, "--run", tmp_path, *SMALL)):
        assert "last.ckpt is not opened: it is damaged, or holds objects, which may run" in refusal(capsys, *command)
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]


@pytest.mark.usefixtures("quiet_lightning")
def test_nothing_is_run_of_a_checkpoint_exchanged_after_it_was_read(pool, tmp_path, monkeypatch):
    content = train(pool, tmp_path, 1)
    monkeypatch.setattr("unetr.commands.train.read_checkpoint", lambda _: content)
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")  # opens whatever no caller has said True of
    torch.save(content | {"more": Runs(tmp_path / "ran")}, tmp_path / "last.ckpt")
    with pytest.raises(pickle.UnpicklingError):
        train(pool, tmp_path, 2)
    assert not (tmp_path / "ran").exists()


def test_a_bundle_that_nothing_could_load_is_not_written(begun, tmp_path, capsys):
    said = refusal(capsys, "export", begun, tmp_path / "bundle", *NAMED, "--threshold", "45")
    assert f"{tmp_path / 'bundle' / 'configs' / 'metadata.json'}: postprocessing: threshold = 45.0 is out of" in said
    assert not list(tmp_path.iterdir())


def test_exporting_over_a_bundle_keeps_its_card_and_takes_all_or_nothing(begun, tmp_path, capsys):
    bundle = tmp_path / "bundle"
    assert main(["export", str(begun), str(bundle), *NAMED]) == 0
    (bundle / "docs").mkdir()
    (bundle / "docs" / "README.md").write_text("the card")
    (bundle / "LICENSE").write_text("the license")
    (bundle / "models" / "model.pt").write_text("of another training")
    before = {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file()}
    assert "smoothing = 9.0" in refusal(capsys, "export", begun, bundle, *NAMED, "--smoothing", "9")
    assert {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file()} == before

    assert main(["export", str(begun), str(bundle), "--name", "mine", "--version", "2.0"]) == 0
    assert read_bundle(bundle).version == "2.0"
    assert {path.name for path in bundle.rglob("*") if path.is_file()} == {
        "README.md",
        "LICENSE",
        "metadata.json",
        "inference.json",
        "model.safetensors",
    }
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_a_bundle_in_use_stays_where_it_cannot_be_exchanged(begun, tmp_path, monkeypatch, capsys):
    assert main(["export", str(begun), str(tmp_path / "bundle"), *NAMED]) == 0
    rename = Path.replace

    def not_the_new_one(self: Path, target: Path) -> Path:
        if self.name == "bundle" and self.parent != tmp_path:
            raise PermissionError(13, "in use")
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", not_the_new_one)
    said = refusal(capsys, "export", begun, tmp_path / "bundle", "--name", "mine", "--version", "2.0")
    assert "bundle cannot be written: [Errno 13] in use" in said
    assert read_bundle(tmp_path / "bundle").version == "1.0"
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_a_folder_that_is_no_bundle_is_not_written_over(begun, tmp_path, capsys):
    (tmp_path / "models" / "other").mkdir(parents=True)
    assert "is there already and is no bundle" in refusal(capsys, "export", begun, tmp_path, *NAMED)
    assert (tmp_path / "models" / "other").is_dir()
    assert main(["export", str(begun), str(tmp_path / "models" / "other"), *NAMED]) == 0  # it is empty


def test_a_kill_while_a_checkpoint_is_written_spares_the_one_before(tmp_path, monkeypatch):
    place = tmp_path / "run" / "last.ckpt"
    WrittenBeside().save_checkpoint({"global_step": 1}, place)

    def killed(content, file):
        file.write(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(torch, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            WrittenBeside().save_checkpoint({"global_step": 2}, place)
    assert torch.load(place) == {"global_step": 1}
    WrittenBeside().save_checkpoint({"global_step": 3}, place)
    assert torch.load(place) == {"global_step": 3}
    assert [path.name for path in place.parent.iterdir()] == ["last.ckpt"]


@pytest.mark.usefixtures("quiet_lightning")
def test_a_training_writes_its_checkpoints_beside_their_place(pool, tmp_path, monkeypatch):
    monkeypatch.setattr("lightning_fabric.plugins.io.torch_io._atomic_save", None)
    train(pool, tmp_path, 1)
    assert [path.name for path in tmp_path.glob("last*")] == ["last.ckpt"]


@pytest.mark.usefixtures("quiet_lightning")
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--width", "8"], r"was begun with --width 2: give that to go on"),
        (["--hidden-size", "32"], r"was begun with --hidden-size 16: give"),
        (["--window", "48"], r"was begun with --window 32: give"),
        (
            ["--network", "segresnet", "--width", "8"],
            r"was begun with --network unetr --width 2 --hidden-size 16: give",
        ),
        (["--steps", "30"], r"has done 30 steps: give --steps above that"),
        (["--steps", "9", "--cooldown", "5"], r"has done 30 steps: give --steps above that"),
    ],
)
def test_what_cannot_go_on_is_told_by_its_option(begun, pool, capsys, options, said):
    assert re.search(said, refusal(capsys, "train", pool, "--run", begun, *SMALL, *options))


@pytest.mark.usefixtures("quiet_lightning")
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--patch", "40"], r"argument --patch: 40 is no multiple of 16"),
        (["--window", "0"], r"argument --window: 0 is no multiple of 16"),
        (["--batch", "0"], r"argument --batch: 0 is no whole number, 1 or more"),
        (["--batch", "two"], r"argument --batch: two is no whole number, 1 or more"),
        (["--seed", "-1"], r"argument --seed: -1 is no whole number, 0 to 4294967295"),
        (["--seed", "4294967296"], r"argument --seed: 4294967296 is no whole number, 0 to 4294967295"),
        (["--minutes", "0"], r"argument --minutes: 0 is no number above 0"),
        (["--rate", "nan"], r"argument --rate: nan is no number above 0"),
        (["--lesion-share", "2"], r"argument --lesion-share: 2 is no share from 0 to 1"),
        (["--emphasis", "64"], r"argument --emphasis: 64 is not from 1 to 63"),
        (["--emphasis", "nan"], r"argument --emphasis: nan is not from 1 to 63"),
        (["--patch", "64", "--window", "32"], r"--patch 64 is more than --window 32, all that a UNETR sees at once"),
        (
            ["--hidden-size", "100"],
            r"--hidden-size 100 --window 32: hidden_size should be divisible by num_heads; give",
        ),
        (["--hidden-size", "8"], r"no network can be built of --network unetr --width 2 --hidden-size 8 "),
        (
            ["--network", "segresnet", "--width", "4"],
            r"no network can be built of --network segresnet --width 4 .*; give",
        ),
        (["--patch", "64"], r"a has \(48, 52, 44\) voxels: too few for patches of 64"),
    ],
)
def test_options_that_cannot_be_are_refused_in_a_sentence(pool, tmp_path, capsys, options, said):
    assert re.search(said, refusal(capsys, "train", pool, "--run", tmp_path / "run", *SMALL, *options))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("emphasis", [0.5, 64.0, math.nan, math.inf])
def test_an_emphasis_that_a_weight_cannot_hold_is_refused(emphasis):
    with pytest.raises(ValueError, match=rf"emphasis of {emphasis}: 1 to 63 is possible"):
        Patches([case()], 16, emphasis=emphasis)


def test_the_mean_of_two_weights_is_that_and_of_one_network(begun, tmp_path, capsys):
    first, second, mean = (tmp_path / name for name in ("first", "second", "mean"))
    assert main(["export", str(begun), str(first), *NAMED]) == 0
    assert main(["export", str(begun), str(second), "--name", "theirs", "--version", "0.7"]) == 0
    weights = safetensors.torch.load_file(first / "models" / "model.safetensors")
    tripled = {name: 3 * tensor for name, tensor in weights.items()}
    safetensors.torch.save_file(tripled, second / "models" / "model.safetensors")
    assert main(["export", str(begun), str(mean), *NAMED, "--average-with", str(second)]) == 0
    assert read_bundle(mean).metadata["averaged_with"] == "theirs 0.7"
    assert "averaged_with" not in read_bundle(first).metadata
    averaged = safetensors.torch.load_file(mean / "models" / "model.safetensors")
    assert averaged.keys() == weights.keys()
    for name, tensor in averaged.items():
        assert tensor.dtype == torch.float16
        torch.testing.assert_close(tensor, 2 * weights[name], rtol=2e-3, atol=1e-6)

    safetensors.torch.save_file({"other": torch.zeros(1)}, second / "models" / "model.safetensors")
    said = refusal(capsys, "export", begun, tmp_path / "none", *NAMED, "--average-with", second)
    assert said.endswith("is another network than was trained: their weights have no mean.")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(("more", "varied"), [([], True), (["--plain"], False)])
def test_patches_are_varied_unless_they_are_to_be_plain(pool, tmp_path, monkeypatch, more, varied):
    def refuse(*_: Any, varied: bool, **__: Any) -> None:
        raise ValueError(f"varied: {varied}")

    monkeypatch.setattr("unetr.commands.train.Patches", refuse)
    with pytest.raises(SystemExit, match=f"varied: {varied}"):
        main(["train", str(pool), "--run", str(tmp_path / "run"), *SMALL, *more])
