"""Declaration of pre-training: it learns the representation, monitored by kNN."""

from __future__ import annotations

from harness.spec.declarations import Metric, Task

HEALTH = (
    Metric(
        "health/rankme",
        "1",
        "epoch",
        "effective rank of the backbone's features (RankMe, not centred, eps 1e-7); comparable "
        "only within one architecture and number of images",
        label="effective rank of the features",
        least=0,
    ),
    Metric(
        "health/deviation",
        "1",
        "epoch",
        "standard deviation of the normalised embedding, mean over its d dimensions; 1/sqrt(d) "
        "where it is spread over the sphere",
        label="deviation of the embedding",
        least=0,
        most=1,
    ),
    Metric(
        "health/alignment",
        "1",
        "epoch",
        "mean squared distance of two views' embeddings (Wang and Isola, alpha 2)",
        label="alignment of two views",
        least=0,
        most=4,
    ),
    Metric(
        "health/uniformity",
        "1",
        "epoch",
        "log of the mean exp(-2 squared distance) of embeddings (Wang and Isola, t 2)",
        label="uniformity of the embedding",
        least=-8,
        most=0,
    ),
    Metric(
        "health/positive_similarity",
        "1",
        "epoch",
        "mean cosine similarity of two views' embeddings",
        label="similarity of positives",
        least=-1,
        most=1,
    ),
    Metric(
        "health/negative_similarity",
        "1",
        "epoch",
        "mean cosine similarity of embeddings and the stored keys or, without these, other "
        "images' embeddings",
        label="similarity of negatives",
        least=-1,
        most=1,
    ),
    Metric(
        "health/gradient_norm",
        "1",
        "epoch",
        "norm of the whole gradient in the epoch's last step",
        least=0,
    ),
    Metric(
        "health/collapsed",
        "epoch",
        "epoch",
        "epoch since which the features are collapsed; 0: they are not",
        least=0,
        alarm="collapsed since epoch {:g}",
    ),
)
"""Measured without labels, from images of the training set: harness.stage.health says when."""

TASK = Task(
    kind="pretrain",
    function="harness.stage.pretrain:run",
    reads=(
        "seed",
        "continue_from",
        "data",
        "augment",
        "views",
        "model",
        "contrast",
        "optim",
        "precision",
    ),
    parent=None,
    metrics=(
        Metric(
            "train/loss",
            "nats",
            "step",
            "loss of pre-training",
            "lower",
            label="training loss",
            short="loss {:.3f}",
        ),
        Metric("train/lr", "1", "step", "learning rate of pre-training", least=0),
        Metric(
            "train/images_per_s",
            "images/s",
            "step",
            "images a second, all processes",
            "higher",
            short="{:,.0f} images/s",
            least=0,
        ),
        Metric(
            "pretext/top1",
            "%",
            "step",
            "how often the positive key, or the class of a supervised run, scores highest",
            "higher",
            label="pretext accuracy",
            least=0,
            most=100,
        ),
        *HEALTH,
    ),
    reported=(),
    hours=24.0,
    watched=(
        "train/loss",
        "knn/top1",
        "knn/mean_per_class",
        "train/images_per_s",
        "health/collapsed",
    ),
    progress="optim",
    trains=True,
    labels=False,
    look="harness.look.pretraining:look",
)
