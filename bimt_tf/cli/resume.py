"""``bimt resume DIR``: go on with an interrupted run."""

from __future__ import annotations

from bimt_tf.cli.arguments import Directory, Loggers, NoFigures

__all__ = ["resume"]


def resume(directory: Directory, /, *, no_figures: NoFigures = False, log: Loggers = None) -> None:
    """Go on with the interrupted run in DIRECTORY; it ends as if it had never stopped.

    Before it, device, threads, log_every and checkpoint_every in its config.yaml may be changed.
    """
    from bimt_tf.cli.console.reports import print_summary
    from bimt_tf.cli.console.run_watch import watcher
    from bimt_tf.runs.execute import resume_run

    with watcher() as shown:
        summary = resume_run(directory, loggers=log or (), watcher=shown, draw=not no_figures)
    print_summary(directory, summary)
