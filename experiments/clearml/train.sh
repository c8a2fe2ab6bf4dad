#!/bin/bash
# What a ClearML agent runs for a task that clearml-task makes of this repository:
#
#   clearml-task --project imagenet --name resnet50 --repo ADDRESS_OF_THIS_REPOSITORY --branch main \
#     --script experiments/clearml/train.sh --binary /bin/bash --skip-task-init --force-no-requirements --queue default
#
# The program is built where it is not there. Recipe, dataset and folder for runs come from the machine:
# MILLRACE_CONFIG (default: the ImageNet recipe), MILLRACE_DATA and MILLRACE_RUNS. Every setting of the recipe can be changed
# in the task, in its section "General" ("optimizer.lr"). A task that is enqueued once more goes on from its last checkpoint.
set -euo pipefail
cd "$(dirname "$0")/../.."

config=${MILLRACE_CONFIG:-configs/imagenet-resnet50.toml}
data=${MILLRACE_DATA:?set MILLRACE_DATA to the converted dataset}
runs=${MILLRACE_RUNS:-$PWD/runs}

program=${MILLRACE_PROGRAM:-build/release/millrace}
if [[ ! -x $program ]]; then ./check build; fi
exec "$program" train "$config" --data "$data" --out "$runs/clearml-$CLEARML_TASK_ID" --resume auto
