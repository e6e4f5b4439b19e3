"""Masks for all pictures from the masks of a few: a linear classifier of places on the feature maps of a network."""

import hashlib
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from scipy import ndimage
from torch.nn import functional

from foveate.core.errors import DataError
from foveate.core.rng import numpy_generator
from foveate.data.annotations import only_boxes, sample_mask
from foveate.data.batch import normalised
from foveate.data.cache import Pictures
from foveate.data.catalog import Catalog
from foveate.data.decode import read_image
from foveate.data.grabcut import SPECK, Cut, contrast, doubts
from foveate.data.square import resize, resize_mask, unfit
from foveate.data.training_masks import MoreMasks
from foveate.evaluation.mask_agreement import agreement
from foveate.models.build import build_network
from foveate.models.modes import evaluating
from foveate.models.networks import Network
from foveate.models.places import place_features
from foveate.models.settings import ModelConfig

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

NEEDED = 5
"""Masks below which nothing is learned."""
STRENGTHS = (3e-4, 1e-2, 0.3)
"""Inverse penalties (C of scikit-learn) that are tried."""
FOLDS = 5
UNSURE = 0.3
"""A mask is doubtful when the places between a likelihood of a quarter and of three quarters are this share of it."""
NUMBERS = 8_000_000
"""Values of features that are fitted at most: places of a picture are drawn at random when there are more."""


class LearnedMasks:
    """Where the object is, as the drawn masks of a few pictures teach it.

    Every place of a grid (a quarter of the picture's side) has the values that the network's stages have there, and its
    colour; logistic regression says how likely it is object. Its penalty is chosen over folds of the pictures with a
    mask, groups kept together, by the mean IoU; a picture that has a mask is asked of a model that has not seen it.

    Attributes:
        held_back: {row: IoU of the mask and what a model that has not seen the picture says of it}.
        seconds: that learning took.
    """

    def __init__(
        self, network: Network, catalog: Catalog, device: torch.device,
        tell: Callable[[str, int, int], None] = lambda what, done, total: None,
    ) -> None:  # fmt: skip
        """Raises DataError: fewer than ``NEEDED`` pictures have a mask, or all of them are empty or full."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import GroupKFold
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        started = time.perf_counter()
        self.network, self.device, self.catalog = network.to(device), device, catalog
        self.size = network.input_size
        samples = catalog.samples
        rows = [r for r, s in enumerate(samples) if s.mask and not only_boxes(catalog.root, s.mask)]
        if len(rows) < NEEDED:
            raise DataError(
                f"{len(rows)} pictures of {catalog.root} have a drawn mask, and at least {NEEDED} are needed to learn "
                "from; draw some more."
            )
        masks, features, labels = [], [], []
        for done, row in enumerate(rows):
            tell("learning from the masks", done, len(rows))
            mask, found = self._mask(row), self._features(read_image(catalog.file(row), at_least=self.size))
            share = functional.adaptive_avg_pool2d(torch.from_numpy(mask)[None].float(), found.shape[1:])[0]
            kept = numpy_generator(0, "places", samples[row].path).permutation(share.numel())
            kept = kept[: max(16, NUMBERS // (found.shape[0] * len(rows)))]
            masks.append(mask)
            features.append(found.reshape(len(found), -1).T[kept])
            labels.append((share >= 0.5).numpy().ravel()[kept])
        tell("learning from the masks", len(rows), len(rows))
        if len(np.unique(np.concatenate(labels))) < 2:
            raise DataError(f"The masks of {catalog.root} show no object, or nothing else; look at them.")
        groups = [samples[row].group or samples[row].path for row in rows]
        folds = list(GroupKFold(min(FOLDS, len(set(groups)))).split(rows, groups=groups))

        def fitted(part: Sequence[int], strength: float) -> "Pipeline":
            model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=300))
            return model.fit(
                np.concatenate([features[k] for k in part]), np.concatenate([labels[k] for k in part])
            )

        tried: dict[float, list[Pipeline]] = {s: [fitted(part, s) for part, _ in folds] for s in STRENGTHS}
        scores: dict[float, dict[int, float]] = {strength: {} for strength in STRENGTHS}
        for fold, (_, held) in enumerate(folds):
            for k in held:
                # Computed again: the places of all pictures would not fit into memory.
                seen = self._features(read_image(catalog.file(rows[k]), at_least=self.size))
                for strength, models in tried.items() if masks[k].any() else ():
                    found = self._large(seen, models[fold]) >= 0.5
                    scores[strength][rows[k]] = agreement(found, masks[k]).iou
        best = max(STRENGTHS, key=lambda strength: np.mean(list(scores[strength].values())))
        self.held_back = scores[best]
        self._unseen = {rows[k]: tried[best][fold] for fold, (_, held) in enumerate(folds) for k in held}
        self._all = fitted(range(len(rows)), best)
        self.seconds = time.perf_counter() - started

    def words(self) -> str:
        """How good the masks are that were held back, in a sentence."""
        scores = np.array(list(self.held_back.values()))
        low, median, high = np.quantile(scores, (0.25, 0.5, 0.75))
        return (
            f"Learned from {len(self._unseen)} masks in {self.seconds:.0f} s; IoU with masks that were held back: "
            f"median {median:.2f}, quartiles {low:.2f} to {high:.2f} (n = {len(scores)})."
        )

    def of(
        self, row: int, picture: Image.Image, size: tuple[int, int], target: tuple[int, int]
    ) -> np.ndarray:
        """(h, w) float32 in [0, 1] at ``target`` (width, height): how likely each place of the picture is object."""
        values = self._large(self._features(picture), self._unseen.get(row, self._all))
        return unfit(values, size, "squash", target, side=self.size)

    def _mask(self, row: int) -> np.ndarray:
        mask: Any = sample_mask(self.catalog, row)
        return np.asarray(resize_mask(mask.point([0] + [255] * 255), self.size)) > 0

    def _features(self, picture: Image.Image) -> np.ndarray:
        """(F, g, g) float32."""
        square = torch.from_numpy(np.array(resize(picture, self.size))).permute(2, 0, 1)[None]
        with evaluating(self.network):
            images = normalised(square, self.device, self.network.mean, self.network.std)
            return place_features(self.network.backbone, images)[0].cpu().numpy()

    def _large(self, features: np.ndarray, model: "Pipeline") -> np.ndarray:
        """(S, S) float32 probabilities at the network's size."""
        likely = model.predict_proba(features.reshape(len(features), -1).T)[:, 1].reshape(features.shape[1:])
        small = torch.from_numpy(likely.astype(np.float32))[None, None]
        return functional.interpolate(small, (self.size, self.size), mode="bilinear")[0, 0].numpy()


def with_learned_masks(
    catalog: Catalog, rows: np.ndarray, pictures: Pictures, *, config: ModelConfig, size: int, fit: str,
    device: torch.device, tell: Callable[[str, int, int], None],
) -> tuple[Pictures, str]:  # fmt: skip
    """The pictures, in which those of ``rows`` without a mask have one that the masks of ``catalog`` teach.

    Args:
        config: the network whose backbone sees them, as it is before training.
        size: side of its pictures in px.
        fit: how ``pictures`` were made square.
    """
    plain = {"network": {"kind": "classifier"}, "head": {"kind": "linear"}, "keep_head": False}
    network = build_network(
        ModelConfig.model_validate({**config.model_dump(), **plain}), classes=len(catalog.classes), size=size, seed=0
    )  # fmt: skip
    learned, found = LearnedMasks(network, catalog, device, tell), {}
    wanted = [int(row) for row in rows if not catalog.samples[row].mask]
    for done, row in enumerate(wanted):
        tell("masks for the other pictures", done, len(wanted))
        picture = read_image(catalog.file(row))
        likely = learned.of(row, picture, picture.size, picture.size)
        cut = cut_of(np.asarray(picture), likely)
        mask = resize_mask(Image.fromarray(cut.mask.astype(np.uint8) * 255), pictures.size, fit)
        found[row] = np.asarray(mask) > 0
    tell("masks for the other pictures", len(wanted), len(wanted))
    return MoreMasks(pictures, found), learned.words()


def digest_of_sources(network: Network | None, drawn: Catalog) -> str:
    """Of the weights and of all masks that are drawn: what decides on learned masks."""
    digest = hashlib.sha256()
    for tensor in network.state_dict().values() if network is not None else ():
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    for row, sample in enumerate(drawn.samples):
        if sample.mask and not only_boxes(drawn.root, sample.mask):
            mask = sample_mask(drawn, row)
            digest.update(sample.path.encode() + (mask.tobytes() if mask is not None else b""))
    return digest.hexdigest()


def cut_of(image: np.ndarray, likely: np.ndarray) -> Cut:
    """The places that are more likely object than not, without specks, and the reasons to doubt them.

    Args:
        image: (H, W, 3) uint8 RGB.
        likely: (H, W) in [0, 1], as of ``LearnedMasks.of``.
    """
    found = likely >= 0.5
    pieces, count = ndimage.label(found)
    areas = np.bincount(pieces.ravel(), minlength=count + 1)
    areas[0] = 0
    mask = found & (areas >= SPECK * areas.max())[pieces]
    between = ((likely > 0.25) & (likely < 0.75)).sum() / max(1, mask.sum())
    difference = contrast(image, mask)
    reasons = doubts(mask, difference)
    if mask.any() and between > UNSURE:
        reasons = (f"unsure of places that are {between:.0%} of it", *reasons)
    return Cut(mask, difference, reasons)
