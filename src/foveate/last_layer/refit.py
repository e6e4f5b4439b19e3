"""The head of a finished network fitted again: its stored features, the fit, the new weights in their place."""

import time
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
import torch

from foveate.augmentation.background_swap import BackgroundSwap
from foveate.core.errors import ConfigError
from foveate.core.progress import Progress
from foveate.core.rng import numpy_generator
from foveate.data.batch import Batch
from foveate.data.cache import Pictures
from foveate.data.catalog import Catalog
from foveate.evaluation.subject import Subject
from foveate.last_layer import LAST_LAYERS
from foveate.last_layer.stored import Given, Head, Stored
from foveate.models.heads import CosineHead
from foveate.models.modes import evaluating


def refit(
    config: Any,
    subject: Subject,
    catalog: Catalog,
    seed: int,
    masked: Callable[[], tuple[Pictures, str, str]],
) -> tuple[str, str]:
    """Fit the last layer of ``subject.model`` in place; what was done and how it was chosen, in words.

    Args:
        catalog: the pictures with all their splits; rows as in ``subject.catalog``.
        masked: the pictures with the masks that training sees, and what these are, in words.

    Raises:
        ConfigError: the network has no linear head on features, or what the last layer says.
        DataError: the pictures do not have the attribute.
    """
    network = subject.model
    if not network.stores_features or isinstance(network.head, CosineHead):
        what = f"network '{network.card.network['kind']}'" if not network.stores_features else "head 'cosine'"
        raise ConfigError(
            f"A last layer is fitted on features that a linear layer turns into logits, which the {what} does not do; "
            "leave last_layer out, or choose the network 'classifier' and another head."
        )
    started, linear = time.perf_counter(), network.head.classifier
    layer = LAST_LAYERS.build(config)
    subgroups = np.full(len(catalog), -1)
    if config.attribute is not None:
        known = np.array(catalog.values(config.attribute)) != ""
        subgroups = np.where(known, catalog.subgroups(config.attribute), -1)

    def stored(
        split: str, pictures: Pictures | None = None, change: Callable[[Batch], Batch] | None = None
    ) -> Stored:
        rows = catalog.indices(split)
        if change:  # batches of all classes, whose backgrounds are exchanged
            rows = numpy_generator(seed, "last layer", "order").permutation(rows)
        features = [np.zeros((0, linear.in_features))]
        with evaluating(network), torch.no_grad():
            for batch in (
                subject.batches(rows, "features for the last layer", pictures=pictures) if len(rows) else ()
            ):
                shown = batch.prepare(subject.device, network.mean, network.std, torch.channels_last)
                seen = network.head.hidden(network.features((change(shown) if change else shown).images))
                features.append(seen.double().cpu().numpy())
        return Stored(np.concatenate(features), catalog.labels[rows], subgroups[rows])

    def swapped(copies: int) -> Stored:
        swap = BackgroundSwap(BackgroundSwap.Config(p=1))
        pictures, parts = masked()[0], []
        if not any(pictures.read(row)[2] for row in catalog.indices("train").tolist()):
            raise ConfigError(
                "The last layer 'swapped' needs masks of training pictures, and there are none."
            )
        for copy in range(copies):
            rng = numpy_generator(seed, "last layer", "swapped", copy)
            change = partial(swap, model=network, rng=rng, progress=Progress())
            parts.append(stored("train", pictures, change))
        return Stored(
            *(
                np.concatenate([getattr(part, name) for part in parts])
                for name in ("features", "labels", "subgroups")
            )
        )

    first = Head(*(value.detach().double().cpu().numpy() for value in (linear.weight, linear.bias)))
    given = Given(
        first,
        cache(lambda: stored("train")),
        cache(lambda: stored("val")),
        cache(swapped),
        lambda purpose: numpy_generator(seed, "last layer", purpose),
    )
    head, how = layer.fit(given)
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(head.weight))
        linear.bias.copy_(torch.from_numpy(head.bias))
    used = ", ".join(config.consumes()) or "nothing"
    return config.kind, f"{how}; it consumed {used}; {time.perf_counter() - started:.1f} s"
