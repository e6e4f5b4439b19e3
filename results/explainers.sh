#!/usr/bin/env bash
# bash results/explainers.sh OUT [LIMIT]: which explanation methods find the mark on the demo's insects.
# Trains the demo's two networks (unless OUT/demo holds them), measures every method, prints the tables of explainers.md.
set -euo pipefail
out=$1
limit=${2:-48}
foveate demo --out "$out/demo"
for network in guided plain; do
    # Against the mark, the one part that tells the species; then against the whole insect.
    foveate look "$out/demo/$network" --methods all --masks "$out/demo/pictures/marks" --limit "$limit" \
        --metrics localisation,faithfulness --out "$out/$network-mark"
    foveate look "$out/demo/$network" --methods all --limit "$limit" --metrics localisation --out "$out/$network-insect"
done
foveate look "$out/demo/guided" --methods all --limit $((limit / 4)) --metrics sanity --out "$out/guided-sanity"
python "$(dirname "$0")/explainers.py" "$out"
