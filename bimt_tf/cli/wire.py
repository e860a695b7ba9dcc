"""``bimt wire --model NAME``: how a model would be wired, before anything is trained."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from bimt_tf.cli.arguments import AsJson

__all__ = ["wire"]

Model = Annotated[
    str,
    Parameter(
        help="a directory that save_pretrained wrote, or a name on the hub; my_model.py:NAME or package.module:NAME, "
        "an nn.Module or a function that makes one; or a task"
    ),
]


Parameters = Annotated[bool, Parameter(negative=(), help="list every parameter, with the populations along its axes")]


def wire(*, model: Model, parameters: Parameters = False, json: AsJson = False) -> None:
    """Show how BIMT would wire a model: what moves, what stays and why. What is not known is named."""
    from bimt_tf.analysis.wiring_report import wiring_report
    from bimt_tf.cli.console.reports import print_json
    from bimt_tf.cli.console.wiring_table import print_wiring
    from bimt_tf.runs.named_model import named_model

    report = wiring_report(named_model(model))
    if json:
        print_json(report.as_dict())
    else:
        print_wiring(report, parameters)
