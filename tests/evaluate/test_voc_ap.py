"""VOC's average precision: cases by hand, and a plain second implementation on result files."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
import torch
from evaluate.detected import Detection, found, random_case, truth

from harness.data.instances import InstanceImages, instances
from harness.evaluate.average_precision import eleven_points
from harness.evaluate.detections import RECALLS, Found
from harness.evaluate.voc_ap import THRESHOLDS, eleven_points_of_detectron2, voc_ap

BOX = (10.0, 10.0, 30.0, 30.0)
OBJECT = (10, 10, 20, 20)
AWAY = (50.0, 40.0, 60.0, 55.0)


def ap50(images: InstanceImages, *detections: Found, classes: int = 1) -> float:
    return voc_ap(detections, images, [str(n) for n in range(classes)]).ap50


def one_image(*detections: Detection, objects: int = 1) -> float:
    images = truth(
        instances([OBJECT] + [(40, 5 + n, 8, 8) for n in range(objects - 1)], [0] * objects)
    )
    return ap50(images, found(0, *detections))


def test_a_box_that_is_found_is_all_there_is() -> None:
    images = truth(instances([OBJECT], [0]))
    perfect = voc_ap([found(0, (0, 0.9, BOX))], images, ["a"])
    assert (perfect.ap, perfect.ap50, perfect.ap75) == (100, 100, 100)  # not a little more
    assert perfect.per_class == (100,)
    nothing = voc_ap([found(0)], images, ["a"])
    assert (nothing.ap, nothing.ap50, nothing.per_class) == (0, 0, (0,))


def test_eleven_points_not_the_area() -> None:
    """One of two objects, then nothing: recalls 0 to 0.5 have a precision of 1."""
    assert one_image((0, 0.9, BOX), objects=2) == pytest.approx(100 * 6 / 11)
    # of three: 0 to 0.3, where 0.3 is a little more than 3/10 but less than 1/3
    assert one_image((0, 0.9, BOX), objects=3) == pytest.approx(100 * 4 / 11)
    # of ten: 1/10 reaches 0.1 but 3/10 does not reach what the original takes for 0.3
    assert eleven_points_of_detectron2(np.array([3 / 10]), np.array([1.0])) == pytest.approx(3 / 11)


def test_the_recalls_are_those_of_detectron2_and_the_svms_are_exact() -> None:
    """Three of ten, all first, and the rest never found or last of all."""
    shown = torch.tensor([True] * 3 + [False] * 997 + [True] * 7)
    scores = -torch.arange(len(shown)).double()
    true = shown.cumsum(0).double()
    precision = (true / torch.arange(1, len(shown) + 1)).numpy()
    theirs = eleven_points_of_detectron2((true / 10).numpy(), precision)
    late = float(precision[-1])
    assert theirs == pytest.approx((3 + 8 * late) / 11)
    assert eleven_points(scores, shown) == pytest.approx((4 + 7 * late) / 11)


def test_a_duplicate_is_a_false_positive() -> None:
    twice = (0, 0.9, BOX), (0, 0.8, BOX)
    assert one_image(*twice) == pytest.approx(100)
    assert one_image((0, 0.9, BOX), (0, 0.8, BOX), (0, 0.7, (40, 5, 48, 13)), objects=2) == (
        pytest.approx(100 * (6 * 1 + 5 * 2 / 3) / 11)
    )


def test_a_detection_belongs_to_the_object_it_overlaps_most_even_if_that_is_taken() -> None:
    images = truth(instances([(10, 10, 20, 20), (12, 10, 20, 20)], [0, 0]))
    first, second = (0, 0.9, (10.0, 10.0, 30.0, 30.0)), (0, 0.8, (10.5, 10.0, 30.5, 30.0))
    assert ap50(images, found(0, first, second)) == pytest.approx(100 * 6 / 11)


def test_difficult_objects_count_neither_as_found_nor_as_missed() -> None:
    images = truth(instances([OBJECT, (40, 5, 8, 8)], [0, 0], difficult=[True, False]))
    found_both = found(0, (0, 0.9, BOX), (0, 0.8, BOX), (0, 0.7, (40, 5, 48, 13)))
    assert ap50(images, found_both) == pytest.approx(100)
    assert ap50(images, found(0, (0, 0.9, AWAY), (0, 0.7, (40, 5, 48, 13)))) == pytest.approx(50)


def test_widths_count_both_ends() -> None:
    """A box of half the width: 11 of 21 pixels are more than half, 10 of 20 are not."""
    half = (10.0, 10.0, 20.0, 30.0)
    images = truth(instances([OBJECT], [0]))
    assert ap50(images, found(0, (0, 0.9, half))) == 0  # 10/20 with VOC's +1 and corners from 1
    more = (10.0, 10.0, 20.1, 30.0)
    assert ap50(images, found(0, (0, 0.9, more))) == pytest.approx(100)


def test_corners_have_one_decimal_and_an_overlap_of_half_is_not_enough() -> None:
    images = truth(instances([OBJECT], [0]))
    assert ap50(images, found(0, (0, 0.9, (10.0, 10.0, 20.04, 30.0)))) == 0
    assert ap50(images, found(0, (0, 0.9, (10.0, 10.0, 20.06, 30.0)))) == pytest.approx(100)


def test_scores_have_three_decimals() -> None:
    """A tie keeps the order of the detections: here the false one comes first."""
    assert one_image((0, 0.90004, AWAY), (0, 0.90041, BOX)) == pytest.approx(50)
    assert one_image((0, 0.90004, AWAY), (0, 0.90061, BOX)) == pytest.approx(100)


def test_classes_do_not_mix_and_one_without_objects_is_zero() -> None:
    images = truth(instances([OBJECT], [1]))
    made = voc_ap([found(0, (1, 0.9, BOX), (0, 0.95, BOX))], images, ["a", "b"])
    assert made.ap == pytest.approx(50)
    assert made.per_class == (None, pytest.approx(100))


def test_the_images_must_be_those_of_the_detections() -> None:
    images = truth(instances([OBJECT], [0]), instances([OBJECT], [0]))
    with pytest.raises(ValueError, match="order"):
        voc_ap([found(1), found(0)], images, ["a"])


@pytest.mark.parametrize("seed", range(3))
def test_the_average_precision_is_the_mean_of_eleven_points_of_its_curve(seed: int) -> None:
    images, detections = random_case(seed)
    made = voc_ap(detections, images, ["a", "b", "c", "none"])
    for at, ap in (("0.50", made.ap50), ("0.75", made.ap75)):
        curve = made.curves[at]
        assert len(curve) == RECALLS
        assert list(curve) == sorted(curve, reverse=True)
        assert 100 * sum(curve[::10]) / 11 == pytest.approx(ap, abs=1e-3)


def test_a_curve_ends_where_no_more_is_found() -> None:
    """One of two objects, after a false positive."""
    images = truth(instances([OBJECT, (40, 5, 8, 8)], [0, 0]))
    made = voc_ap([found(0, (0, 0.9, AWAY), (0, 0.8, BOX))], images, ["a"])
    assert made.curves["0.50"] == (0.5,) * 51 + (0.0,) * 50


def plainly(detections: list[Found], images: InstanceImages, label: int, threshold: float) -> float:
    """One class at one threshold, in loops, from lines of a result file."""
    lines = []
    for one in detections:
        for box, called, score in zip(one.boxes, one.labels, one.scores, strict=True):
            if called == label:
                x1, y1, x2, y2 = (np.float32(at) for at in box)
                x1, y1 = x1 + np.float32(1), y1 + np.float32(1)
                lines.append(f"{one.image} {score:.3f} {x1:.1f} {y1:.1f} {x2:.1f} {y2:.1f}")
    objects: dict[str, list[tuple[list[float], bool]]] = defaultdict(list)
    wanted = 0
    for image in images.images:
        said = image.instances
        for n in range(len(said)):
            if said.labels[n] == label:
                x, y, width, height = said.extents[n].tolist()
                objects[str(image.id)].append(
                    ([x + 1, y + 1, x + width, y + height], bool(said.difficult[n]))
                )
                wanted += not said.difficult[n]
    taken: set[tuple[str, int]] = set()
    true = false = 0
    points: list[tuple[float, float]] = []
    for line in sorted(lines, key=lambda line: -float(line.split()[1])):
        image_id, _, *corners = line.split()
        seen = [float(corner) for corner in corners]
        best, which = -1.0, -1
        for n, (corner, _) in enumerate(objects[image_id]):
            width = min(seen[2], corner[2]) - max(seen[0], corner[0]) + 1
            height = min(seen[3], corner[3]) - max(seen[1], corner[1]) + 1
            common = max(width, 0) * max(height, 0)
            areas = [(each[2] - each[0] + 1) * (each[3] - each[1] + 1) for each in (seen, corner)]
            if common / (sum(areas) - common) > best:
                best, which = common / (sum(areas) - common), n
        if best <= threshold:
            false += 1
        elif not objects[image_id][which][1]:
            false += (image_id, which) in taken
            true += (image_id, which) not in taken
            taken.add((image_id, which))
        points.append((true / wanted if wanted else 0.0, true / max(true + false, 1)))
    total = 0.0
    for n in range(11):
        total += max((p for recall, p in points if recall >= n * 0.1), default=0.0)
    return 100 * total / 11


@pytest.mark.parametrize("seed", range(8))
def test_a_plain_implementation_agrees(seed: int) -> None:
    images, detections = random_case(seed)
    made = voc_ap(detections, images, ["a", "b", "c", "none"])
    table = np.array(
        [[plainly(detections, images, label, at) for at in THRESHOLDS] for label in range(4)]
    )
    assert 5 < made.ap < 70
    assert made.ap == pytest.approx(table.mean())
    assert (made.ap50, made.ap75) == pytest.approx((table[:, 0].mean(), table[:, 5].mean()))
    assert made.per_class[:3] == pytest.approx(table[:3].mean(1))
