"""Faster and Mask R-CNN on a pre-trained backbone, as in the papers' detection tables.

How a stage uses them:

    detector = build_detector("c4", recipe.model, 20, 2, *stream)   # build.py: kinds and settings
    load_backbone(detector, weights, where)                         # model/fcn.py: all or nothing
    losses = detector(images, targets, keys)                        # training: a dict of scalars
    sum(losses.values()).backward()
    found = detector.eval().detect(images)                          # a Detections for each image
    found = [rescaled(each, seen, original) for ...]                # boxes.py: of the files' sizes
    masks = pasted(each.masks, each.boxes, original)                # mask_targets.py

- images: this process's share of the global batch, in order: normalised float (3, H, W), each of
  its own size (data: shortest side, longest side, rounding). `detector` pads each `pad_group` of
  them together, as detectron2 pads the images of one GPU.
- targets: a Target (boxes.py) for each image, on its device (`moved_target`). Crowds and empty
  boxes are left out before.
- keys: for each image a 64-bit integer, e.g. keyed.key(seed, "detection", step, image id). Which
  anchors and proposals are sampled depends on it and on nothing else.
- losses: rpn_objectness, rpn_box, class, box, and mask if the detector predicts masks. Each is the
  mean over this process's pad groups. Gradients that are averaged over the processes, which have
  equally many groups, are those of the global batch.
- Detections: boxes, labels, scores in descending order, and masks as probabilities inside boxes.

The parameters of the pre-trained part are `detector.backbone`, by the names that pre-training gives
them. All norms are GroupedBatchNorm2d, so `set_precise_statistics` and rules about norms apply.
"""
