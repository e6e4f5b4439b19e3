"""CAL is compared with a slow reading of the method, one picture, one map at a time."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from foveate.core.errors import ConfigError
from foveate.data.batch import Batch
from foveate.models.build import build_network
from foveate.models.networks.cal import CROPS, Cal, marked_boxes, pooled
from foveate.models.output import Output
from foveate.models.settings import ModelConfig
from foveate.objectives import Context, Objective, Progress
from foveate.objectives.classification import Centre


def values(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def network(**settings: Any) -> Any:
    config = Cal.Config(maps=3, **settings)
    return build_network(
        ModelConfig(backbone="foveate_small_cnn", weights="none", network=config), 3, 64, seed=1
    )


def slow_pooled(maps: torch.Tensor, attention: torch.Tensor) -> torch.Tensor:
    """(K, h, w) and (M, h, w) -> (M K,)."""
    means = torch.stack([(a * x).mean() for a in attention for x in maps])
    roots = torch.stack([torch.sign(v) * (v.abs() + 1e-6).sqrt() for v in means])
    return roots / (sum(v * v for v in roots) + 1e-6).sqrt()


def test_pooling_and_its_gradient() -> None:
    maps, attention = (values(2, 4, 3, 5).double() - 0.4).requires_grad_(), values(2, 3, 3, 5).double()
    attention.requires_grad_()
    found = pooled(maps, attention)
    slow = torch.stack([slow_pooled(*pair) for pair in zip(maps, attention, strict=True)])
    torch.testing.assert_close(found, slow)
    weights = values(2, 12, seed=5).double()
    grads = [torch.autograd.grad((weights * v).sum(), [maps, attention]) for v in (found, slow)]
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other)


def slow_box(attention: torch.Tensor, share: float, padding: float, side: tuple[int, int]) -> list[int]:
    large = F.interpolate(attention[None, None], side, mode="bilinear")[0, 0]
    places = [(y, x) for y in range(side[0]) for x in range(side[1]) if large[y, x] >= share * large.max()]
    rows, columns = zip(*places, strict=True)
    high, wide = int(padding * side[0]), int(padding * side[1])
    return [
        max(0, min(rows) - high), max(0, min(columns) - wide),
        min(side[0] - 1, max(rows) + high), min(side[1] - 1, max(columns) + wide),
    ]  # fmt: skip


def test_boxes_around_what_is_marked() -> None:
    attention, images = values(6, 5, 4) ** 6, torch.zeros(6, 3, 40, 30)
    attention[0] = 0
    shares = 0.4 + 0.2 * values(6, 1, 1, seed=3)
    found = marked_boxes(attention, shares, 0.1, images)
    for number, box in enumerate(found.tolist()):
        assert box == slow_box(attention[number], float(shares[number]), 0.1, (40, 30))
    assert found[0].tolist() == [0, 0, 39, 29]


def test_evaluation_is_the_picture_and_with_test_crops_the_mean_of_four() -> None:
    plain, crops = network().eval(), network(test_crops=True).eval()
    images = values(2, 3, 64, 64)
    with torch.no_grad():
        output, with_crops = plain(images), crops(images)
        expected, effects = [], []
        for image in images:
            answers, view = [], image
            mean = plain.attention(plain.backbone.forward_features(image[None]))[0].mean(dim=0)
            for share, padding in ((0, 0), *CROPS):
                if share:
                    top, left, bottom, right = slow_box(mean, share, padding, (64, 64))
                    part = image[None, :, top : bottom + 1, left : right + 1]
                    view = F.interpolate(part, (64, 64), mode="bilinear", align_corners=True)[0]
                maps = plain.backbone.forward_features(view[None])[0]
                attention = plain.attention(maps[None])[0]
                answers.append(plain.classifier(100 * slow_pooled(maps, attention)))
                if not share:
                    other = plain.classifier(100 * slow_pooled(maps, torch.ones_like(attention)))
                    effects.append(answers[0] - other)
            expected.append(answers)
    slow = torch.stack([torch.stack(answers) for answers in expected])  # (2, 4, C)
    close = {"rtol": 1e-3, "atol": 1e-3}
    torch.testing.assert_close(output.logits, slow[:, 0], **close)
    torch.testing.assert_close(output.branches["effect"], torch.stack(effects), **close)
    torch.testing.assert_close(with_crops.logits, slow.mean(dim=1), **close)
    assert with_crops.whole is with_crops.branches["raw"]


def test_training_gives_rows_of_the_picture_its_crop_and_what_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, images = network(), values(2, 3, 64, 64)
    model.backbone.eval()
    model.attention.eval()
    model.training = True
    monkeypatch.setattr(torch, "rand_like", lambda like: torch.full_like(like, 0.5))
    with torch.no_grad():
        torch.manual_seed(5)
        output = model(images)
        attention = model.attend(images)[3]
        torch.manual_seed(5)
        changed = model.changed(images, attention)
        for row, image in enumerate(images):
            for number, view in enumerate((image, *changed[2 * row : 2 * row + 2])):
                maps = model.backbone.forward_features(view[None])[0]
                own = model.attention(maps[None])[0]
                answer, other = (
                    model.classifier(100 * slow_pooled(maps, a)) for a in (own, torch.ones_like(own))
                )
                found = output.branches["effect"][3 * row + number]
                torch.testing.assert_close(found, answer - other, rtol=1e-3, atol=1e-3)
                said = output.branches["crops"][2 * row + number - 1] if number else output.logits[row]
                torch.testing.assert_close(said, answer, rtol=1e-3, atol=1e-3)
    assert output.branches["attended"].shape == (2, 3 * 160)


def test_maps_without_strength_are_not_drawn_and_the_strongest_places_are_hidden() -> None:
    model, images = network(), 1 + values(40, 3, 64, 64)
    attention = torch.zeros(40, 3, 4, 4)
    attention[:20, 1, 1, 2] = 1.0
    crops, left = model.changed(images, attention).unflatten(0, (40, 2)).unbind(dim=1)
    torch.testing.assert_close(crops[20:], images[20:], rtol=1e-4, atol=1e-4)
    assert torch.equal(left[20:], images[20:]), "nothing is marked, nothing is hidden"
    for image, seen in zip(images[:20], left[:20], strict=True):
        assert seen[:, 22:26, 38:42].abs().max() == 0
        assert torch.equal(seen[:, 40:], image[:, 40:])


def test_centres_follow_their_classes() -> None:
    model = network()
    context = Context(("a", "b", "c"), (1, 1, 1), network=model, branches=model.branches)
    objective = Objective({"near": Centre.Config(on="attended", rate=0.1)}, context)
    vectors = values(4, 480).requires_grad_()
    targets = torch.tensor([0, 2, 0, 2])
    batch = Batch(
        images=torch.zeros(4, 3, 8, 8), targets=targets, masks=torch.zeros(4, 1, 8, 8),
        has_mask=torch.zeros(4, dtype=torch.bool), index=torch.arange(4),
    )  # fmt: skip
    output = Output(torch.zeros(4, 3), branches={"attended": vectors})
    centres = torch.zeros(3, 480)
    for _ in range(3):
        loss = objective(output, batch, Progress())["near"]
        expected = sum(((v - centres[t]) ** 2).sum() for v, t in zip(vectors, targets, strict=True)) / 4
        torch.testing.assert_close(loss, expected)
        for c in (0, 2):
            of_class = vectors[targets == c].detach()
            centres[c] = centres[c] + 0.1 * torch.stack([v - centres[c] for v in of_class]).mean(dim=0)
    (term,) = objective.terms.values()
    torch.testing.assert_close(term.centres, centres)  # type: ignore[attr-defined]
    before = centres.clone()
    objective.eval()
    objective(output, batch, Progress())
    torch.testing.assert_close(term.centres, before)  # type: ignore[attr-defined]
    with pytest.raises(
        ConfigError, match="needs a branch of vectors, which 'raw' is not; set 'on' to attended"
    ):
        Objective({"near": Centre.Config(on="raw")}, context)
