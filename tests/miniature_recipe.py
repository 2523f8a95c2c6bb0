"""The recipe of the tests that plan and name stages, and train nothing."""

from __future__ import annotations

MINIATURE = """\
data: {name: embedded, images: 128, size: 16}
augment: {}
model: {backbone: miniature, bn_group: 8}
contrast: {kind: moco, queue: 64, momentum: 0.9, temperature: 0.1}
optim: {epochs: 2, batch: 32, lr: 0.06, schedule: {kind: constant}}
knn: {k: [5]}
linear: {epochs: 3, drops: []}
watch: {control: false}
"""
