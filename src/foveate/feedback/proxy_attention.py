"""Proxy Attention: wrong training pictures come back with the places hidden that the network looked at."""

import math
import os
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import BeforeValidator, Field, SerializeAsAny

from foveate.core import config as core
from foveate.core.errors import ConfigError
from foveate.data.epoch_change import Change
from foveate.explanation import explain
from foveate.explanation.cam import GradCamPlusPlus
from foveate.explanation.explain import build_explainer
from foveate.explanation.explainer import Explainer
from foveate.explanation.maps import upsample
from foveate.feedback.feedback import Feedback, Moment, Seen, TrainingPictures
from foveate.feedback.proxy_pictures import Rule, changed, placed, statistic
from foveate.models.networks import Network

Entry = Annotated[int, Field(ge=1, le=100_000)] | Literal["p"]
FOREVER = 2**31


def _explainer(value: Any) -> Explainer:
    """By name, or with settings; without a kind they are those of Grad-CAM++."""
    return build_explainer({"kind": "gradcam++", **value} if isinstance(value, dict) else value)


class ProxyAttention(Feedback):
    """After a p-epoch, pictures that it got wrong are shown with what the network looked at darkened or filled.

    In a p-epoch pictures that are answered wrong are noted; after it a share of them is explained, in batches, and
    changed where the map is high. The next epochs show these proxies, until the next p-epoch unless ``lifetime`` says
    otherwise; a picture has one proxy, the newest.

    Sources: Mukherjee's thesis Proxy Attention, 2023, and its program (github.com/SubhadityaMukherjee/proxy_attention).
    There every entry of the schedule drew training and validation pictures anew, so its figures cannot be believed
    (docs/more.md); here the split stays. There the picture as augmented was explained; here it is as it is,
    and the proxy is augmented as its original would be.
    """

    class Config(core.Config):
        kind: Literal["proxy_attention"] = "proxy_attention"
        schedule: tuple[Entry, ...] = Field(default=(20, "p", 19), min_length=1, max_length=1000)
        """Epochs over all phases: a number stands for so many ordinary ones, p for one after which proxies are made."""
        share: float = Field(default=0.2, gt=0, le=1)
        """Of the wrong pictures, rounded up, that get a proxy."""
        selection: Literal["first_k", "random_k", "highest_loss"] = "first_k"
        """Which of them: the first that the epoch showed, any, or those with the highest loss."""
        explainer: Annotated[SerializeAsAny[Explainer], BeforeValidator(_explainer)] = GradCamPlusPlus()
        """An explanation method, by name or with its settings."""
        layer: str = "last"
        """Where it works, if it works at a layer."""
        target: Literal["predicted", "true"] = "predicted"
        """The class that is explained: what the network answers (without dropout and on the picture as it is, so that
        it may be right now), or the label."""
        rule: Rule = "blended"
        """blended: (1 - weight map) picture where map > threshold, the published program's; draft: ((1 - weight) map)
        picture where map >= threshold; else one value where map > threshold."""
        weight: float = Field(default=0.4, ge=0, le=1)
        """lambda, of the rules blended and draft."""
        threshold: float = Field(default=0.85, ge=0, le=1)
        """tau, of the map scaled to [0, 1]."""
        fill_of: Literal["picture", "maps"] = "picture"
        """Of what mean, max, min and half_max are: the picture's bytes, as the thesis says, or all maps of the p-epoch
        taken as brightness, as its program did (then max is nearly always white and min black)."""
        region: Literal["salient", "least_salient", "random", "none"] = "salient"
        """Controls: the same area where the map is lowest, or at a random place; none makes no proxies."""
        use: Literal["replace", "add"] = "replace"
        """In place of their originals, or beside them (epochs grow)."""
        lifetime: Literal["until_next", "one_entry", "end"] | Annotated[int, Field(ge=1, le=100_000)] = (
            "until_next"
        )
        """How long a proxy is shown: until the next p-epoch begins, in the next entry of the schedule alone, to the
        end, or so many epochs."""
        storage: Literal["memory", "disk"] = "memory"
        """Where proxies lie while training: disk keeps them in the run folder until they have lived."""

    changes_pictures = True

    def __init__(self, config: Config) -> None:
        self.config = config
        self.collecting = False
        self._wrong: dict[int, float] = {}
        self._lives: dict[int, tuple[int, int]] = {}  # row: (made before epoch, shown until before epoch)

    def check(self, epochs: int) -> None:
        """See ``Feedback.check``: the schedule covers all epochs, and some of them show proxies."""
        schedule = self.config.schedule
        check_epochs(self.config.kind, schedule, epochs)
        made = [end for end, entry in zip(ends_of(schedule), schedule, strict=True) if entry == "p"]
        if not any(min(self._until(end), epochs) > end for end in made):
            raise ConfigError(
                f"With the schedule {words(schedule)} no epoch would show a proxy: after a p there is "
                "none, or another p, until which they last; put a number of epochs behind a p, or set lifetime."
            )

    def see(self, seen: Seen) -> None:
        """Note what a p-epoch gets wrong, in the order in which it is shown."""
        if not self.collecting:
            return
        losses = F.cross_entropy(seen.logits, seen.targets, reduction="none")
        for row, wrong, loss in zip(seen.index.tolist(), seen.wrong.tolist(), losses.tolist(), strict=True):
            if wrong:
                self._wrong.setdefault(row, loss)

    def between(self, moment: Moment, network: Network, pictures: TrainingPictures) -> Change | None:
        """New proxies after a p-epoch, and none that has lived."""
        if self.config.region == "none":
            return None
        shown = dict(moment.change.pictures)
        if self.collecting:
            rows = self._chosen(moment)
            until = self._until(moment.epoch)
            if len(rows) and until > moment.epoch:
                shown |= zip(rows.tolist(), self._made(rows, moment, network, pictures), strict=True)
                self._lives |= dict.fromkeys(rows.tolist(), (moment.epoch, until))
        self._lives = {row: life for row, life in self._lives.items() if life[1] > moment.epoch}
        self._wrong = {}
        self.collecting = entry_of(self.config.schedule, moment.epoch) == "p"
        self._clear(pictures.folder)
        alive = {row: image for row, image in shown.items() if row in self._lives}
        if {row: id(image) for row, image in alive.items()} == {
            row: id(image) for row, image in moment.change.pictures.items()
        }:
            return None
        return Change(alive, beside=self.config.use == "add")

    def state(self) -> dict[str, torch.Tensor]:
        """collecting (); rows (n,), losses (n,) of wrong pictures; lives (m, 3): row, made, until."""
        return {
            "collecting": torch.tensor(self.collecting),
            "rows": torch.tensor(list(self._wrong), dtype=torch.int64),
            "losses": torch.tensor(list(self._wrong.values()), dtype=torch.float64),
            "lives": torch.tensor(
                [(row, *life) for row, life in self._lives.items()], dtype=torch.int64
            ).reshape(-1, 3),
        }

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """See ``state``."""
        self.collecting = bool(state["collecting"])
        self._wrong = dict(zip(state["rows"].tolist(), state["losses"].tolist(), strict=True))
        self._lives = {row: (made, until) for row, made, until in state["lives"].tolist()}

    def _chosen(self, moment: Moment) -> np.ndarray:
        """(k,) rows that get a proxy."""
        rows = np.array(list(self._wrong), dtype=np.int64)
        count = math.ceil(round(self.config.share * len(rows), 9))
        if self.config.selection == "random_k":
            rows = moment.rng("selection").permutation(rows)
        elif self.config.selection == "highest_loss":
            rows = rows[np.argsort([-loss for loss in self._wrong.values()], kind="stable")]
        return rows[:count]

    def _until(self, epoch: int) -> int:
        """The epoch (from 0) before which proxies made before ``epoch`` are taken away."""
        lifetime, ends = self.config.lifetime, ends_of(self.config.schedule)
        if isinstance(lifetime, int):
            return epoch + lifetime
        coming = [(end, entry) for end, entry in zip(ends, self.config.schedule, strict=True) if end > epoch]
        if lifetime == "one_entry" and coming:
            return coming[0][0]
        return next((end - 1 for end, entry in coming if entry == "p" and lifetime == "until_next"), FOREVER)

    def _made(
        self, rows: np.ndarray, moment: Moment, network: Network, pictures: TrainingPictures
    ) -> torch.Tensor:
        """(k, 3, size, size) uint8: the proxies of ``rows``."""
        config, size = self.config, pictures.pictures.size
        fill = None
        if config.fill_of == "maps" and config.rule not in ("blended", "draft"):
            # One value of all maps: they are made twice rather than kept.
            every = torch.cat([maps.flatten() for _, maps in self._maps(rows, network, pictures)])
            fill = 255 * float(statistic(every[None], config.rule))
        rng = moment.rng("region")
        shape = (len(rows), 3, size, size)
        store = _Store(pictures.folder, moment.epoch, shape) if config.storage == "disk" else None
        made = torch.empty(shape if store is None else 0, dtype=torch.uint8)
        done = 0
        for part, maps in self._maps(rows, network, pictures):
            originals = pictures.pictures.read_many(part)[0]
            assert config.region != "none"
            moved = placed(maps, config.region, rng)
            proxies = changed(originals, moved, config.rule, config.weight, config.threshold, fill)
            if store is None:
                made[done : done + len(part)] = proxies
            else:
                store.write(done, proxies)
            done += len(part)
        return made if store is None else store.read()

    def _maps(
        self, rows: np.ndarray, network: Network, pictures: TrainingPictures
    ) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
        """Batch by batch: rows (b,), maps (b, size, size) in [0, 1] on the CPU."""
        size = pictures.pictures.size
        layer = self.config.layer if self.config.explainer.layered else None
        for batch in pictures.prepared(rows):
            targets = batch.targets if self.config.target == "true" else None
            maps = explain(network, batch.images, targets, self.config.explainer, layer)
            yield batch.index.cpu().numpy(), upsample(maps, (size, size)).clamp(0, 1).cpu()

    def _clear(self, folder: Path | None) -> None:
        if self.config.storage == "disk" and folder is not None:
            kept = {made for made, _ in self._lives.values()}
            for file in folder.glob(f"{PREFIX}*{SUFFIX}"):
                number = file.name.removeprefix(PREFIX).removesuffix(SUFFIX)
                if number.isdigit() and int(number) not in kept:
                    file.unlink()


PREFIX, SUFFIX = "proxies-before-epoch-", ".npy"


class _Store:
    """Proxies in a file that is whole or absent; what is read of it lies on the disk until it is looked at."""

    def __init__(self, folder: Path | None, epoch: int, shape: tuple[int, ...]) -> None:
        if folder is None:
            raise ConfigError(
                "Proxies cannot be kept on the disk without a run folder; set storage to memory."
            )
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / f"{PREFIX}{epoch}{SUFFIX}"
        self._part = self._file.with_suffix(".tmp")
        self._array = np.lib.format.open_memmap(self._part, "w+", np.uint8, shape)

    def write(self, start: int, images: torch.Tensor) -> None:
        self._array[start : start + len(images)] = images.numpy()

    def read(self) -> torch.Tensor:
        self._array.flush()
        os.replace(self._part, self._file)
        return torch.from_numpy(np.load(self._file, mmap_mode="c", allow_pickle=False))


def check_epochs(kind: str, schedule: Sequence[int | str], epochs: int) -> None:
    """Whether a schedule covers all epochs.

    Raises:
        ConfigError: it does not.
    """
    total = ends_of(schedule)[-1]
    if total != epochs:
        raise ConfigError(
            f"The schedule {words(schedule)} of {kind} has {total} epochs (p counts as one), but the "
            f"phases have {epochs}; let both agree: change the feedback's schedule or training.phases."
        )


def words(schedule: Sequence[int | str]) -> str:
    """[20, p, 19]."""
    return f"[{', '.join(map(str, schedule))}]"


def ends_of(schedule: Sequence[int | str]) -> list[int]:
    """Epochs done at the end of each entry."""
    return list(accumulate(1 if entry == "p" else int(entry) for entry in schedule))


def entry_of(schedule: Sequence[int | str], epoch: int) -> int | str | None:
    """The entry in which an epoch (from 0) lies; None behind the last."""
    pairs = zip(ends_of(schedule), schedule, strict=True)
    return next((entry for end, entry in pairs if epoch < end), None)
