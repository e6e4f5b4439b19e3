"""What a network draws on a few pictures while it is trained, for trackers."""

import numpy as np
import torch

from foveate.explanation.maps import class_map, min_max, upsample
from foveate.models.modes import untouched
from foveate.models.networks import Network
from foveate.training.changed_pictures import beside
from foveate.training.precision import Precision
from foveate.training.training_job import Job

COLOUR = (255, 220, 0)


def draw(job: Job, network: Network, epoch: int) -> None:
    """Give the observer a sheet of ``training.draw`` pictures for each drawing of the network, after ``epoch`` epochs.

    The network is left as it was.
    """
    rows = job.feeds.rows["val" if job.feeds.validated else "train"]
    count = min(job.config.draw, len(rows))
    chosen = rows[np.linspace(0, len(rows) - 1, count).round().astype(int)]
    shown: list[torch.Tensor] = []
    drawn: dict[str, list[torch.Tensor]] = {}
    with untouched(network):
        for raw in job.feeds.plain(chosen, job.batch_size):
            images = job.prepare(raw, Precision("fp32")).images
            maps = network.drawings(images)
            if not maps:
                with torch.no_grad():
                    predicted = network(images).logits.argmax(dim=1)
                maps = {"class map": min_max(class_map(network, images, predicted, "stage:-1"))}
            shown += raw.images
            for name, values in maps.items():
                strength = upsample(values.cpu(), (raw.images.shape[2], raw.images.shape[3]))[:, None]
                colour = torch.tensor(COLOUR).view(1, 3, 1, 1)
                drawn.setdefault(name, []).extend(raw.images + strength * (colour - raw.images.float()))
    for name, pictures in drawn.items():
        job.observer.picture(f"drawings: {name}", beside(shown, pictures), epoch)
