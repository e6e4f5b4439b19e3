"""Score-CAM and Ablation-CAM: each channel of a feature map is weighted by what the network says of the picture seen
through it, or without it."""

from typing import Literal

import torch
from torch.nn import functional

from foveate.explanation.explainer import Explainer
from foveate.explanation.probe import Probe
from foveate.explanation.scorer import ClassScore, Scorer
from foveate.models.taps import edit_tap


class ScoreCam(Explainer):
    """Score-CAM: ReLU(sum_k a_k A^k), a from the scores s_k = S(X ⊙ H_k) of the picture seen through channel k.

    H_k = A^k, upsampled and scaled to [0, 1]; the paper subtracts the score of a baseline picture from each s_k.

    Source: Wang et al., Score-CAM, CVPR workshops 2020. The defaults (logits, softmax over the channels) are those of
    the paper and of pytorch-grad-cam; torchcam scales before it upsamples (``scale="before"``); cnn-visualizations uses
    score="probability", weight="raw", start="ones". A constant added to all scores cancels in the softmax.

    Channels that are constant over the picture have no H_k (0 / 0). Their masked picture is black in every
    implementation, so one pass serves them all and the result is exact.
    """

    kind: Literal["scorecam"] = "scorecam"
    score: ClassScore = "logit"
    """What is measured of the masked picture."""
    weight: Literal["softmax", "raw"] = "softmax"
    """a_k: softmax of the scores over the channels, or the scores themselves."""
    baseline: Literal["none", "black", "picture"] = "none"
    """What is subtracted from raw scores: nothing, the score of the black picture, or that of the whole picture."""
    corners: bool = False
    """Upsampling that puts the corners of both grids on each other, as pytorch-grad-cam's does."""
    scale: Literal["after", "before"] = "after"
    """Whether H_k is scaled to [0, 1] after or before it is upsampled."""
    start: Literal["zeros", "ones"] = "zeros"
    """What the weighted sum begins with."""

    layered = True
    slow = True
    chunk = 64

    def __call__(
        self, probe: Probe, images: torch.Tensor, targets: torch.Tensor, layers: tuple[str, ...]
    ) -> dict[str, torch.Tensor]:
        with torch.no_grad():
            maps = probe.tapped(images, layers)[2]
        features = {layer: maps[layer].float() for layer in layers}
        live = {layer: live_channels(found) for layer, found in features.items()}
        total, done = sum(len(pairs) for pairs in live.values()), 0
        scorer = Scorer(probe, self.score, passes=total)
        empty = self._of_black(scorer, images, targets)
        result = {}
        for layer, found in features.items():
            scores = empty[:, None].repeat(1, found.shape[1])  # (B, K)
            pairs = live[layer]
            for part in probe.chunks(len(pairs)):
                b, k = pairs[part, 0], pairs[part, 1]
                masked = self._masked(scorer, images, found, b, k)
                scores[b, k] = scorer(masked, targets[b])
                done += len(b)
                probe.report(done, total)
            if self.weight == "softmax":
                weights = scores.softmax(dim=1)
            elif self.baseline == "picture":
                weights = scores - scorer(images.clone(), targets)[:, None]
            else:
                weights = scores - empty[:, None] if self.baseline == "black" else scores
            combined = torch.einsum("bk,bkhw->bhw", weights, found)
            result[layer] = (combined + (self.start == "ones")).relu()
        return result

    def _masked(
        self, scorer: Scorer, images: torch.Tensor, maps: torch.Tensor, b: torch.Tensor, k: torch.Tensor
    ) -> torch.Tensor:
        """X_b ⊙ H_bk of n pairs: (n, 3, H, W)."""
        chosen = maps[b, k][:, None]  # (n, 1, h, w)
        if self.scale == "before":
            chosen = _scaled(chosen)
        size, corners = images.shape[2:], self.corners
        chosen = functional.interpolate(chosen, size, mode="bilinear", align_corners=corners)
        if self.scale == "after":
            chosen = _scaled(chosen)
        target = scorer.buffer(images)[: len(b)]
        first, last = int(b[0]), int(b[-1])
        pictures = images[first : first + 1] if first == last else images[b]
        return torch.mul(pictures, chosen.to(images.dtype), out=target)

    def _of_black(self, scorer: Scorer, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """(B,) score of each picture's class on the black picture, from one pass."""
        scores = torch.empty(len(images), device=images.device)
        for target in targets.unique():
            scores[targets == target] = scorer(torch.zeros_like(images[:1]), target[None])
        return scores


def live_channels(maps: torch.Tensor) -> torch.Tensor:
    """(n, 2) pairs (picture, channel) whose map in (B, K, h, w) is not constant, picture by picture."""
    return (maps.amax(dim=(2, 3)) > maps.amin(dim=(2, 3))).nonzero()


def _scaled(maps: torch.Tensor) -> torch.Tensor:
    """Each map of (n, 1, H, W) to [0, 1], in place where it is ours."""
    low = maps.amin(dim=(2, 3), keepdim=True)
    span = maps.amax(dim=(2, 3), keepdim=True) - low
    return (maps - low).div_(torch.where(span > 0, span, 1.0))


class AblationCam(Explainer):
    """Ablation-CAM: ReLU(sum_k a_k A^k), a_k = (S - S_k) / S, with S_k the logit when channel k is zero.

    Source: Desai & Ramaswamy, WACV 2020. Channels that are zero already have a_k = 0 and are not computed. Everything
    before the layer is computed once for many channels where the network allows it (which is checked, not assumed).
    pytorch-grad-cam writes large negative values into layers that have negative ones; here they become zero, as in the
    paper.
    """

    kind: Literal["ablationcam"] = "ablationcam"
    layered = True
    slow = True
    chunk = 128

    def __call__(
        self, probe: Probe, images: torch.Tensor, targets: torch.Tensor, layers: tuple[str, ...]
    ) -> dict[str, torch.Tensor]:
        with torch.no_grad():
            logits, _, maps = probe.tapped(images, layers)
            score = logits.gather(1, targets[:, None])[:, 0]
            live = {layer: (maps[layer] != 0).any(dim=3).any(dim=2) for layer in layers}  # (B, K)
            total, done = sum(int(found.sum()) for found in live.values()), 0
            result = {}
            for layer in layers:
                shares = self._shares(probe, images[:1], layer)
                weights = torch.zeros(live[layer].shape, device=images.device)
                for i in range(len(images)):
                    channels = live[layer][i].nonzero()[:, 0]
                    for part in probe.chunks(len(channels)):
                        chosen = channels[part]
                        without = self._without(probe, images[i : i + 1], layer, chosen, shares)
                        weights[i, chosen] = (score[i] - without[:, targets[i]]) / score[i]
                        done += len(chosen)
                        probe.report(done, total)
                result[layer] = (weights[:, :, None, None] * maps[layer].float()).sum(dim=1).relu()
        return result

    def _without(
        self, probe: Probe, picture: torch.Tensor, layer: str, channels: torch.Tensor, shares: bool
    ) -> torch.Tensor:
        """Logits (n, C) of the picture (1, 3, H, W), each with another channel of the layer at zero."""

        def edit(maps: torch.Tensor) -> torch.Tensor:
            edited = maps.clone()
            edited[torch.arange(len(channels), device=maps.device), channels] = 0
            return edited

        if not shares:
            picture = picture.expand(len(channels), -1, -1, -1)
        with edit_tap(probe.root, layer, picture, edit, len(channels) if shares else 1):
            return probe.local(picture)

    def _shares(self, probe: Probe, picture: torch.Tensor, layer: str) -> bool:
        """Whether the network can go on with two copies of one picture's map."""
        plain = probe.local(picture)
        try:
            with edit_tap(probe.root, layer, picture, lambda maps: maps, repeat=2):
                twice = probe.local(picture)
        except RuntimeError:  # something that went round the layer has another batch size
            return False
        return twice.shape == (2, plain.shape[1]) and torch.allclose(
            twice, plain.expand_as(twice), rtol=1e-4, atol=1e-5
        )
