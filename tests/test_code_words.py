"""The field's words: no word of the old private dialect comes back into code or tests."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
WORDS = {
    # ground truth and scores
    "told looked looked_at": "calibrated, stated, annotated",
    "truth truths": "ground truth, gt",
    "sureness doubt evidence evidence_s": "objectness, temperature, class_memory_s",
    "steady steady_s steadying": "box_smoothing_s, smooth, interpolation",
    # memory, schedule, post-processing
    "Remembering ObjectMemory remember remembers remembered": "TrackMemory, carries state, cache",
    "LOOKS_A_SECOND with_looks look_until": "InferenceSchedule, mark_annotated",
    "keep_best keep_rows _survivors one_per_place CANDIDATES": "nms, PRE_NMS_TOP_K",
    # networks
    "open_gate learned_start begin_maps NoMemory": "init_forget_bias, initial_maps",
    "shows_motion has_core has_memory": "uses_frame_difference, has_temporal_core, is_stateful",
    "Facts Described AroundNetwork JoinedStreams NetworkByShape": "ModelMetadata, Runtime",
    "threads_beside snug": "pick_thread_count, minimal_canvas",
    # training and clips
    "lane lanes": "stream slot",
    "decoy decoys Paster _paster ClipSource": "distractor, CopyPaste, ClipDataset",
    "choose_learners running_average rate_factor": "set_trainable, build_ema, lr_factor",
    "set_rates done_of_stage": "set_lr, stage_progress",
    "clip_gradient positive_radius least_clips stream_clips frame_stage": "the names of `settings`",
    "memory_stage_lr memory_stage_backbone_lr": "stage2_lr_scale, stage2_backbone_lr_scale",
    # labels
    "VideoColumns SetColumns": "VideoLabelsBuilder, LabelSetBuilder",
    "source_of recognises namesakes meant_of": "root_of, sniff, resolve_ambiguous",
    "put_right ExchangeCheck twins": "sanitize_boxes, SwappedAxesCheck, near-duplicates",
    # outputs and people
    "painter Painter labels_out": "Annotator, labels.writers",
    "whoever somebody anybody": "a noun",
}
"""Words that the code once had, each row with what to write instead."""
PHRASES = {
    r"\bput right\b": "corrected, sanitized",
    r"\bnobody looked\b": "unannotated",
    r"\bbeside=": "leave_core_free=",
    r"\bhide\(": "redact",
    r"\ba mistake in lstmcli\b": "internal error (please report)",
}
FIELD = re.compile(r"ground[- _]truths?|gt", re.IGNORECASE)
"""Terms of the field that contain such a word."""
UPGRADE_TABLES = {
    "lstmcli/core/renamed_settings.py",
    "lstmcli/models/renamed_weights.py",
    "lstmcli/dataset/manifest.py",
    "tests/core/test_config.py",
    "tests/models/test_checkpoint.py",
    "tests/dataset/test_manifest.py",
    "tests/cli/test_words.py",
    "tests/test_code_words.py",
}
"""Files that must know old names, because files of earlier releases hold them."""


def files() -> Iterator[Path]:
    """Yield the code, the templates and the tests."""
    for room in ("lstmcli", "tests"):
        for path in sorted((ROOT / room).rglob("*.*")):
            name = path.relative_to(ROOT).as_posix()
            if path.suffix in {".py", ".j2"} and name not in UPGRADE_TABLES:
                yield path


def test_no_word_of_the_old_dialect_comes_back() -> None:
    old = {word: better for words, better in WORDS.items() for word in words.split()}
    found = []
    for path in files():
        text = FIELD.sub("", path.read_text(encoding="utf-8"))
        name = path.relative_to(ROOT)
        words = sorted(set(re.findall(r"\w+", text)) & old.keys())
        found += [f"{name}: {word!r}, write {old[word]}" for word in words]
        found += [
            f"{name}: {p}, write {better}" for p, better in PHRASES.items() if re.search(p, text)
        ]
    assert not found, "\n".join(found)
