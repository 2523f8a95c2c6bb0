"""The sections of a recipe that any method has, with units and sources.

Sources: v1 = MoCo v1 (arXiv:1911.05722), v2 = MoCo v2 (arXiv:2003.04297), code = the official
implementation (facebookresearch/moco at 7397dfe), demo = the official CIFAR-10 notebook.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from harness.recipe.section import ByName, Positive, PositiveFloat, Section, Since, last_part

Fraction = Annotated[float, Field(ge=0, le=1)]


class Augment(Section):
    """How a view is drawn from an image: two independent draws make the query and the key view.

    The order is crop, [grayscale, jitter] or [jitter, grayscale], blur, flip (code: main_moco.py).
    """

    crop_scale: tuple[Fraction, Fraction] = (0.2, 1.0)
    """Area of the random crop as a share of the image (code: 0.2 to 1; demo: 0.08 to 1)."""
    crop_ratio: tuple[PositiveFloat, PositiveFloat] = (3 / 4, 4 / 3)
    """Aspect ratio of the random crop, drawn log-uniformly (torchvision's default)."""
    jitter: tuple[
        Annotated[float, Field(ge=0)],
        Annotated[float, Field(ge=0)],
        Annotated[float, Field(ge=0)],
        Annotated[float, Field(ge=0, le=0.5)],
    ] = (0.4, 0.4, 0.4, 0.4)
    """Strengths for brightness, contrast, saturation, hue (v1: .4 .4 .4 .4; v2: .4 .4 .4 .1)."""
    jitter_p: Fraction = 1.0
    """Probability of the colour jitter (v1: 1; v2 and demo: 0.8)."""
    grayscale_p: Fraction = 0.2
    """Probability of grayscale (0.2 in v1, v2 and demo)."""
    grayscale_first: bool = True
    """Grayscale before the jitter (v1) or after it (v2 and demo)."""
    blur_p: Fraction = 0.0
    """Probability of the Gaussian blur (v1: 0; v2: 0.5)."""
    blur_sigma: tuple[PositiveFloat, PositiveFloat] = (0.1, 2.0)
    """Standard deviation of the blur in pixels, drawn uniformly (v2: 0.1 to 2)."""
    flip_p: Fraction = 0.5
    """Probability of the horizontal flip."""


Text = Annotated[str, Field(min_length=1)]


class Weights(Section):
    """Weights to begin with, of a file or of a run: evaluated as they are where optim.epochs is 0,
    else what pre-training begins with."""

    file: Text | None = None
    """A checkpoint under the data root; docs/weights.md has the forms that are known."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{8,64}$")] | None = None
    """The file's SHA-256, or the beginning of it: the identity of what is evaluated."""
    md5: Annotated[str, Field(pattern=r"^[0-9a-f]{8,32}$")] | None = None
    """Its MD5, or the beginning of it, for files whose publisher gives no other (code's README)."""
    prefix: Annotated[str | None, Since("0.2")] = None
    """What stands before conv1.weight in the file, for a network among several or under names that
    are not known ("": nothing); null: found as docs/weights.md says."""
    run: Annotated[Text | None, Since("0.2"), ByName()] = None
    """In place of a file, a pre-training of this harness: the id of its stage, or its folder,
    relative to the run root. The query encoder of its last step is taken."""
    head: Annotated[Literal["given", "new"], Since("0.2")] = "given"
    """Where pre-training begins with the weights: whether it begins with their head too, which has
    to fit then, or draws a new one from the seed."""

    @property
    def named(self) -> str:
        """The file, or the id of the run's stage."""
        return self.file or last_part(self.run or "")


class Model(Section):
    """Query and key encoder: a backbone, and a head that is thrown away after pre-training."""

    backbone: Literal[
        "miniature",
        "resnet18",
        "resnet18_cifar",
        "resnet34",
        "resnet50",
        "resnet50_cifar",
        "resnext50_32x8d",
    ]
    """_cifar: 3x3 stem of stride 1 and no max-pooling (demo); miniature: 3 blocks, for CPUs."""
    width: Positive = 1
    """Multiplies every layer's channels: 2 and 4 give v1 Table 1's R50w2x and R50w4x."""
    head: Literal["fc", "mlp"] = "fc"
    """fc: one linear layer (v1); mlp: linear, ReLU, linear, with the features' width (v2)."""
    dim: Positive = 128
    """Width of the embedding that is compared (v1 Sec. 3.3: 128)."""
    bn_group: Positive
    """Images normalised together by batch norm (v1: 32, one GPU's share of a batch of 256); the
    whole batch: synchronised over all processes."""
    running_stats: Literal["first_group", "mean"] = "first_group"
    """Whose running statistics are kept: the first group's (code) or the groups' mean (demo)."""
    weights: Weights | None = None
    """null: random initial weights. With optim.epochs 0 given weights are evaluated as they are;
    else pre-training begins with them."""


class Constant(Section):
    """The rate stays."""

    kind: Literal["constant"]


class Steps(Section):
    """The rate is multiplied by `factor` at the start of each epoch in `drops`."""

    kind: Literal["step"]
    drops: tuple[Positive, ...]
    """Epochs, counted from 0 (v1: 120 and 160 of 200)."""
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1


class Cosine(Section):
    """Half a cosine period over the run, set once per epoch (v2)."""

    kind: Literal["cosine"]
    first: Literal[0, 1] = 0
    """The first epoch's number: 0 never reaches a rate of zero (code), 1 ends at zero (demo)."""
    start: Annotated[int, Field(ge=0), Since("0.2")] = 0
    """The epoch, counted from 0, in which the half period begins, for a run that continues another;
    before it the rate stays what it is at the start."""


class Decay(Section):
    """The rate is multiplied by `factor` every so many steps (v1 on Instagram-1B)."""

    kind: Literal["decay"]
    every: Positive
    """Steps between two multiplications (v1: 62,500, 64 million images)."""
    factor: Annotated[float, Field(gt=0, lt=1)]


Schedule = Annotated[Constant | Steps | Cosine | Decay, Field(discriminator="kind")]


class Optim(Section):
    """SGD over all parameters, batch norm's and biases included (code: main_moco.py)."""

    epochs: Annotated[int, Field(ge=0)]
    """Passes over the data; 0 leaves the network untrained, which makes it a control. Of a run that
    continues another all of them, the other's included."""
    steps: Positive | None = None
    """Stop after this many steps, wherever in an epoch (v1 on Instagram-1B: 1.25 million)."""
    batch: Annotated[int, Field(ge=2)]
    """Images per step, over all processes; the epoch's last, smaller batch is dropped."""
    lr: Annotated[float, Field(ge=0)]
    """Learning rate at the start (v1: 0.03 at batch 256)."""
    sgd_momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """SGD's own momentum; the key encoder's is contrast.momentum."""
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    """L2 penalty (v1: 1e-4; demo: 5e-4)."""
    schedule: Schedule
