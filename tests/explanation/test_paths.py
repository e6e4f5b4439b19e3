"""Path methods against captum, and what their values must sum to."""

import captum.attr
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from explanation_helpers import Tiny, assert_close, network, pictures, quiet
from foveate.core.errors import ConfigError
from foveate.explanation import explain

NETS = {
    "resnet18": {},
    "mobilenetv3_small_100": {},
    "efficientnet_b0": {},
    "vit_tiny_patch16_224": {"img_size": 64},
}
TARGETS = torch.tensor([3, 7])


@pytest.mark.parametrize("name", NETS)
def test_integrated_gradients_equal_captum(name: str) -> None:
    model, images = network(name, **NETS[name]), pictures()
    with quiet():
        theirs = captum.attr.IntegratedGradients(model).attribute(images.clone(), 0, TARGETS, n_steps=6)
    ours = explain(model, images, TARGETS, "integrated_gradients", raw=True, steps=6, chunk=5)
    assert_close(ours, theirs.sum(dim=1))


@pytest.mark.parametrize(
    ("name", "layer"), [("resnet18", "layer2"), ("mobilenetv3_small_100", "blocks.2"), ("test_convnext", "stages.1")]
)  # fmt: skip
def test_layers_equal_captum(name: str, layer: str) -> None:
    model, images = network(name), pictures()
    module = model.get_submodule(layer)
    with quiet():
        conductance = captum.attr.LayerConductance(model, module).attribute(
            images.clone(), 0, TARGETS, n_steps=5, method="riemann_trapezoid"
        )
        influence = captum.attr.InternalInfluence(model, module).attribute(
            images.clone(), 0, TARGETS, n_steps=5
        )
    assert_close(
        explain(model, images, TARGETS, "internal_influence", layer, raw=True, steps=5),
        influence.abs().amax(dim=1),
    )
    ours = explain(model, images, TARGETS, "conductance", layer, raw=True, steps=5, chunk=3)
    assert_close(ours, conductance.sum(dim=1))


def test_conductance_of_tokens_equals_captum() -> None:
    model, images = network("test_vit", img_size=64), pictures()
    with quiet():
        theirs = captum.attr.LayerConductance(model, model.blocks[1]).attribute(
            images.clone(), 0, TARGETS, n_steps=4, method="riemann_trapezoid"
        )
    ours = explain(model, images, TARGETS, "conductance", "blocks.1", raw=True, steps=4)
    patches = theirs[:, model.num_prefix_tokens :].sum(dim=2)
    assert_close(ours, patches.unflatten(1, (4, 4)))


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    target=st.integers(0, 3),
    baseline=st.sampled_from(["mean", "blurred", "noise"]),
)
def test_completeness(seed: int, target: int, baseline: str) -> None:
    """The values sum to the difference of the scores of the picture and the baseline."""
    from foveate.explanation.baselines import baselines
    from foveate.explanation.probe import Probe

    model, images = Tiny(seed=seed % 7), pictures(2, 16, seed)
    start = baselines(Probe(model), images, baseline)[0]  # type: ignore[arg-type]
    with torch.no_grad():
        scores, before = model(images)[:, target], model(start)[:, target]
    for method, layer in (("integrated_gradients", None), ("conductance", "pool")):
        found = explain(model, images, target, method, layer, raw=True, steps=120, baseline=baseline)
        gap = (found.sum(dim=(1, 2)) - (scores - before)).abs().max()
        assert gap < 0.02 * (scores - before).abs().max() + 0.01, method


def test_several_layers_in_one_pass_are_the_same_as_one_by_one() -> None:
    model, images = Tiny(), pictures(3, 16)
    both = explain(model, images, 1, "conductance", ["norm", "pool"], raw=True, steps=7, chunk=4)
    for layer in ("norm", "pool"):
        assert_close(both[layer], explain(model, images, 1, "conductance", layer, raw=True, steps=7), 1e-5)


def test_influence_before_a_global_average_is_refused() -> None:
    with pytest.raises(ConfigError, match="same at every place of layer 'layer4'"):
        explain(network("resnet18"), pictures(), 1, "internal_influence", steps=2)


def test_expected_gradients_from_one_picture_are_integrated_gradients() -> None:
    model, images, other = network("resnet18"), pictures(), pictures(1, seed=5)
    with quiet():
        theirs = captum.attr.IntegratedGradients(model).attribute(
            images.clone(), other.expand_as(images), TARGETS, n_steps=6
        )
    given = {"raw": True, "references": other, "steps": 6}
    ours = explain(model, images, TARGETS, "expected_gradients", samples=3, chunk=5, **given)
    assert_close(ours, theirs.sum(dim=1))
    same = explain(model, images, TARGETS, "integrated_gradients", baseline="pictures", **given)
    assert_close(ours, same, 1e-5)


def test_expected_gradients_are_the_mean_over_references_of_their_paths() -> None:
    """Every reference once: the mean of the integrated gradients from each, whatever the order."""
    model, images, others = Tiny(), pictures(2, 16), pictures(4, 16, 5)
    each = [
        explain(
            model, images, 1, "integrated_gradients", raw=True, steps=5, baseline="pictures", references=one[None]
        )
        for one in others
    ]  # fmt: skip
    for samples in (4, 8):
        ours = explain(
            model, images, 1, "expected_gradients", raw=True, steps=5, samples=samples, references=others
        )
        assert_close(ours, torch.stack(each).mean(dim=0))


def test_expected_gradients_with_a_random_point_tend_to_the_same() -> None:
    model, images, others = Tiny(), pictures(2, 16), pictures(4, 16, 5)
    exact = explain(model, images, 1, "expected_gradients", raw=True, steps=40, samples=4, references=others)
    errors = [
        (
            explain(model, images, 1, "expected_gradients", raw=True, samples=count, references=others)
            - exact
        ).norm()
        for count in (8, 2000)
    ]
    assert errors[1] < 0.1 * exact.norm()
    assert errors[1] < errors[0]


def test_references_that_are_missing_or_of_another_size_are_refused() -> None:
    with pytest.raises(ConfigError, match="reference pictures \\(R, 3, 16, 16\\), and there are none"):
        explain(Tiny(), pictures(1, 16), 1, "expected_gradients")
    with pytest.raises(ConfigError, match="they have the shape \\(2, 3, 24, 24\\)"):
        explain(Tiny(), pictures(1, 16), 1, "expected_gradients", references=pictures(2, 24))
