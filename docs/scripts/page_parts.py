"""Processor time and size of each part of the page of a run: python docs/scripts/page_parts.py DIR ..."""

from __future__ import annotations

import json
import sys
import time

from bimt_tf import load_run
from bimt_tf.runs.page.activity import activity_part
from bimt_tf.runs.page.attention import attention_part
from bimt_tf.runs.page.causes import causes_part
from bimt_tf.runs.page.modules import modules_part
from bimt_tf.runs.page.probes import probes_part
from bimt_tf.runs.page.run_facts import run_facts_part

PARTS = (activity_part, attention_part, causes_part, modules_part, probes_part, run_facts_part)

for path in sys.argv[1:]:
    run = load_run(path)
    _ = run.held_out  # drawn already
    told, total = [], 0.0
    for part in PARTS:
        start = time.process_time()
        found = part(run)
        took = time.process_time() - start
        total += took
        size = len(json.dumps(found)) / 1e3
        told.append(f"{part.__name__.removesuffix('_part')} {took:.2f} s {size:,.0f} kB")
    print(f"{run.config.task}, {run.config.method}, {run.active_weights:,} weights: {total:.2f} s ({', '.join(told)})")  # noqa: T201
