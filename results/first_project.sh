#!/usr/bin/env bash
# The commands of docs/first-project.md on potato2 and the seconds that each took, in OUT/times.txt: bash results/first_project.sh OUT,
# in a folder that holds data/ and weights/ (those of foundation.md). Half of the masks come as an export of Label Studio, the others are
# proposed. The ten pictures of `new` are among those of `leaves`: their predictions say nothing, only how long they take.
set -eu
out=${1:?name a folder for the project}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
weights=$(realpath weights/tf_mobilenetv3_small_100.safetensors)
mkdir "$out"
cp -r data/potato2/images "$out/leaves"
export=$(python "$here/../tests/label_studio_export.py" data/potato2 "$out/export" json 0.5)
cp "$export" "$out/export.json"
mkdir "$out/new"
for class in "$out"/leaves/*; do for file in $(find "$class" -type f | sort | tail -5); do cp "$file" "$out/new"; done; done
cd "$out"
step() {
  begun=$SECONDS
  foveate "$@" > "log.$1.$begun" 2>&1
  echo "$((SECONDS - begun)) s: foveate $*" | tee -a times.txt
}
step check leaves --masks export.json --html check.html
step split leaves --masks export.json --out leaves.csv
step masks propose leaves --masks export.json --from-masks --out proposed --weights "$weights"
step train leaves --split leaves.csv --masks export.json --masks proposed --out runs/plain --weights "$weights"
step train leaves --split leaves.csv --masks export.json --masks proposed --guide backgrounds --out runs/guided --weights "$weights"
step plan --pictures 210 --seeds 5 --accuracy 0.9
step study run guidance --data leaves --masks export.json --masks proposed --out studies/guidance --weights "$weights"
step study show studies/guidance
step study final studies/guidance --arm backgrounds --out runs/final
step predict runs/final new --out predictions.csv
step explain runs/final new --out explained
