"""A SLURM played by three small scripts, and what a user would submit to it."""

from __future__ import annotations

from pathlib import Path

from harness.store import submission

SITE = """\
device: cuda
slurm:
  partition: gpu
  account: vision
  constraint: a100
  nodes: 2
  gpus_per_node: 2
  cpus_per_process: 7
  mem_gb: 500
  modules: [cuda/12.4, "python 3.11"]
  setup: [export NCCL_DEBUG=WARN]
  at_once: 2
  max_array: 3
  stage_data: $SLURM_TMPDIR
  extra: {exclusive: true, mail-type: FAIL, oversubscribe: false}
"""
SCALE = """\
ablation: momentum
recipe: tiny.yaml
cells: [m0.9]
seeds: [0, 1]
metric: knn/top1
margin: 1
"""


SBATCH = """\
#!/bin/sh
[ -e refuse ] && grep -q "$(cat refuse)" "$1" && { echo "sbatch: error: Invalid qos" >&2; exit 1; }
n=$(($(ls jobs | wc -l) + 100))
cp "$1" jobs/$n
cat runs/submissions/*.json > records/$n
echo "Submitted batch job $n"
"""
SQUEUE = """\
#!/bin/sh
[ -e silent ] && { echo "squeue: error: Unable to contact slurm controller" >&2; exit 1; }
cat listed 2>/dev/null || true
"""


def listed(state: str) -> None:
    """Let squeue list every element of every submission so."""
    lines = [
        f"{array.job}|{n if len(array.stages) > 1 else 'N/A'}|{state}||{array.name}|Priority"
        for record in submission.everything(Path("runs"))
        for array in record.arrays
        for n in range(max(1, len(array.stages)))
        if array.job is not None
    ]
    Path("listed").write_text("\n".join(lines) + "\n")
