"""Ablation-CAM: each channel of a feature map is weighted by how much the score falls without it."""

from typing import Literal

import torch

from foveate.explanation.explainer import Explainer
from foveate.explanation.probe import Probe
from foveate.models.taps import edit_tap


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
