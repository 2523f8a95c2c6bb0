"""The sections of a recipe that every method has, with units and sources.

Sources: v1 = MoCo v1 (arXiv:1911.05722), v2 = MoCo v2 (arXiv:2003.04297), code = the official
implementation (facebookresearch/moco at 7397dfe), demo = the official CIFAR-10 notebook.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from harness.recipe.section import ByName, Positive, PositiveFloat, Section, Since, last_part
from harness.recipe.task import Pixels

Fraction = Annotated[float, Field(ge=0, le=1)]


class Augment(Section):
    """How a view is drawn from an image: two independent draws make the query and the key view.

    The order is crop, [grayscale, jitter] or [jitter, grayscale], blur, flip (code: main_moco.py).
    """

    crop_scale: Annotated[
        tuple[Fraction, Fraction], Field(title="random crop, share of the image")
    ] = (0.2, 1.0)
    """Area of the random crop as a share of the image (code: 0.2 to 1; demo: 0.08 to 1)."""
    crop_ratio: Annotated[
        tuple[PositiveFloat, PositiveFloat], Field(title="random crop, aspect ratio")
    ] = (3 / 4, 4 / 3)
    """Aspect ratio of the random crop, drawn log-uniformly (torchvision's default)."""
    jitter: Annotated[
        tuple[
            Annotated[float, Field(ge=0)],
            Annotated[float, Field(ge=0)],
            Annotated[float, Field(ge=0)],
            Annotated[float, Field(ge=0, le=0.5)],
        ],
        Field(title="colour jitter (brightness, contrast, saturation, hue)"),
    ] = (0.4, 0.4, 0.4, 0.4)
    """Strengths for brightness, contrast, saturation, hue (v1: .4 .4 .4 .4; v2: .4 .4 .4 .1)."""
    jitter_p: Annotated[Fraction, Field(title="probability of colour jitter")] = 1.0
    """Probability of the colour jitter (v1: 1; v2 and demo: 0.8)."""
    grayscale_p: Annotated[Fraction, Field(title="probability of grayscale")] = 0.2
    """Probability of grayscale (0.2 in v1, v2 and demo)."""
    grayscale_first: Annotated[bool, Field(title="grayscale before the jitter")] = True
    """Grayscale before the jitter (v1) or after it (v2 and demo)."""
    blur_p: Annotated[Fraction, Field(title="probability of blur")] = 0.0
    """Probability of the Gaussian blur (v1: 0; v2: 0.5)."""
    blur_sigma: Annotated[
        tuple[PositiveFloat, PositiveFloat], Field(title="standard deviation of the blur")
    ] = (0.1, 2.0)
    """Standard deviation of the blur in pixels, drawn uniformly (v2: 0.1 to 2)."""
    flip_p: Annotated[Fraction, Field(title="probability of a flip")] = 0.5
    """Probability of the horizontal flip."""

    def at(self, size: int) -> View:
        """Views drawn with these settings, `size` pixels wide and high."""
        return View(size=size, **{name: getattr(self, name) for name in Augment.model_fields})


class View(Augment):
    """Another kind of view, with its own size: some methods compare small crops with large ones."""

    size: Pixels
    """Side of the square that the encoder sees, in pixels."""


Text = Annotated[str, Field(min_length=1)]


class Weights(Section):
    """Given weights, from a file or a run: evaluated unchanged if optim.epochs is 0, else the
    initial weights of pre-training."""

    file: Annotated[Text | None, ByName(absolute=True)] = None
    """A checkpoint, relative to the data root, or an absolute path; docs/weights.md lists the
    supported formats."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{8,64}$")] | None = None
    """The file's SHA-256, or its first digits; it identifies the weights."""
    md5: Annotated[str, Field(pattern=r"^[0-9a-f]{8,32}$")] | None = None
    """The file's MD5, or its first digits, if no SHA-256 is published (code's README)."""
    prefix: Annotated[str | None, Since("0.2")] = None
    """Text before conv1.weight in the file's names, if it has several networks or unknown names
    ("": none); null: found as in docs/weights.md."""
    run: Annotated[Text | None, Since("0.2"), ByName()] = None
    """Instead of a file, a pre-training of this harness: its stage id, or its folder relative to
    the run root. The query encoder of its last step is used."""
    head: Annotated[Literal["given", "new"], Since("0.2")] = "given"
    """For pre-training from these weights: given keeps their head, which must fit; new draws one
    from the seed."""

    @property
    def named(self) -> str:
        """The file, without the folders of an absolute path, or the id of the run's stage."""
        relative = self.file is not None and not self.file.startswith("/")
        return (self.file or "") if relative else last_part(self.file or self.run or "")


WIDER = ("resnet50", "miniature")
"""Backbones that may have a width."""

MSRA_PREFIX = "msra"
"""Prefix of the names in a file that `moco-harness convert` makes of MSRA's ResNet-50."""


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
    head: Annotated[Literal["fc", "mlp"], Field(title="head")] = "fc"
    """fc: one linear layer (v1); mlp: linear, ReLU, linear, with the features' width (v2)."""
    dim: Annotated[Positive, Field(title="width of the embedding")] = 128
    """Width of the embedding that is compared (v1 Sec. 3.3: 128)."""
    bn_group: Annotated[Positive, Field(title="batch-norm group")]
    """Images normalised together by batch norm (v1: 32, one GPU's share of a batch of 256); the
    whole batch: synchronised over all processes."""
    running_stats: Annotated[
        Literal["first_group", "mean"], Field(title="running statistics of")
    ] = "first_group"
    """Running statistics that are kept: the first group's (code) or the groups' mean (demo)."""
    weights: Weights | None = None
    """null: random initial weights. Given weights are evaluated unchanged if optim.epochs is 0;
    else pre-training starts from them."""
    layout: Annotated[
        Literal["torchvision", "msra"], Since("0.2"), Field(title="ResNet's layout")
    ] = "torchvision"
    """msra: the ResNet-50 from which the papers' supervised detectors start: a block's stride is in
    its first 1x1 convolution, and it sees BGR from 0 to 255 minus the mean. Only tasks that train a
    detector build it; torchvision: a stride in the 3x3 convolution, and RGB."""
