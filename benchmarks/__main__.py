"""python -m benchmarks [NAME ...] [options]: time, print, write results/bench.{md,json}."""

import argparse
import sys
import time
from pathlib import Path

from benchmarks import (
    augmentation,
    busy,
    explanation,
    frozen,
    loading,
    networks,
    prediction,
    startup,
    training,
)
from benchmarks.measure import machine
from benchmarks.photos import draw_photos, open_photos
from benchmarks.table import record
from foveate.core.errors import FoveateError
from foveate.data.cache import CacheConfig, cache_folder

BENCHMARKS = {
    "training": training.run,
    "frozen": frozen.run,
    "loading": loading.run,
    "startup": startup.run,
    "busy": busy.run,
    "explanation": explanation.run,
    "augmentation": augmentation.run,
    "networks": networks.run,
    "prediction": prediction.run,
}
DRAWN = {"busy", "explanation", "augmentation", "networks"}
"""Those that make their own pictures."""


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"{', '.join(BENCHMARKS)}; all without a name"
    )
    parser.add_argument("--photos", type=Path, help="class folders of photos; without it JPEGs are drawn")
    parser.add_argument("--weights", type=Path, help="a trained network's file for Score-CAM (explanation)")
    parser.add_argument("--repeats", type=int, default=5, help="rounds that count (default 5)")
    parser.add_argument(
        "--quick", action="store_true", help="few pictures and cases, only to see that it runs"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("results"), help="where the table goes (default results)"
    )
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.names) - set(BENCHMARKS))
    if unknown or arguments.repeats < 1:
        parser.error(
            f"no benchmark {unknown}; there are {', '.join(BENCHMARKS)}" if unknown else "--repeats from 1"
        )
    names = arguments.names or list(BENCHMARKS)
    photos = None
    if set(names) - DRAWN:
        drawn = cache_folder(CacheConfig()) / "benchmark-photos"
        try:
            photos = open_photos(arguments.photos) if arguments.photos else draw_photos(drawn)
        except FoveateError as error:
            print(error, file=sys.stderr)
            return 1
    for name in names:
        started = time.monotonic()
        source = photos.source if photos and name not in DRAWN else "noise"
        about = {"machine": machine(), "photos": source, "repeats": arguments.repeats}
        print(f"{name} ...", flush=True)
        extra = {"weights": arguments.weights} if name == "explanation" else {}
        rows = BENCHMARKS[name](photos, arguments.repeats, arguments.quick, **extra)
        for row in rows:
            print(
                f"  {row.what}, {row.case}: {row.foveate:.4g} beside {row.beside:.4g} {row.unit}, "
                f"ratio {row.ratio:.2f} ({row.spread[0]:.2f} to {row.spread[1]:.2f}); {row.note}"
            )
        print(f"  ({time.monotonic() - started:.0f} s)", flush=True)
        record(arguments.out, name, rows, about)
    print(f"Written to {arguments.out / 'bench.md'}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
