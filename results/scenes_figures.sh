#!/usr/bin/env bash
# The figures of scenes.md: bash results/scenes_figures.sh STUDIES OUT, after scenes_studies.py. The three final models side by side.
set -eu
studies=${1:?the folder that scenes_studies.py wrote} out=${2:?a folder for the figures}
run() { # STUDY ARM
  python - "$@" <<'PY'
import csv, sys
study, arm = sys.argv[1:]
with open(f"{study}/cells.csv", newline="") as stream:
    print(next(f"{study}/cells/{row['cell']}" for row in csv.DictReader(stream) if row["arm"] == arm))
PY
}
here=$(realpath "$(dirname "$0")")
mkdir -p "$out/runs"
link() { ln -sfn "$(realpath "$(run "$studies/$1" "$2")")" "$out/runs/$3"; }
link supervised "Supervised Final" supervised
link rotation "Rotation-classifier 3" rotation
link perturbation "Perturbation-classifier 3" perturbation
python "$here/scenes_matrices.py" "$studies" "$out/matrices.png"
cd "$out"
foveate explain runs/supervised --compare runs/rotation,runs/perturbation --agreeing 8 --method scorecam \
  --layers first,second,last --out scorecam
python "$here/scenes_inversion.py" runs/supervised runs/rotation runs/perturbation inversion.png
