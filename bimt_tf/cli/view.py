"""``bimt view DIR``: a run's page in the browser."""

from __future__ import annotations

from bimt_tf.cli.arguments import Device, Directory

__all__ = ["view"]


def view(directory: Directory, /, *, device: Device = "cpu") -> None:
    """Open the page of the run in DIRECTORY in the browser; it is written first if it is missing or older than the run.

    Where no browser can be opened, the last line, which says where the page is, is all that there is to see.
    """
    import sys
    import webbrowser

    from bimt_tf.cli.console.links import print_path
    from bimt_tf.errors import InputError
    from bimt_tf.runs.atomic import require_path
    from bimt_tf.runs.directory import RunDirectory
    from bimt_tf.runs.page_file import PAGE, is_current

    if require_path(directory).is_file():
        raise InputError(f"{directory} is a file: 'bimt report {directory} --out FILE' writes its page")
    page = RunDirectory.open(directory).path / PAGE
    if not is_current(directory):
        try:
            _write(directory, device)
        except InputError as error:
            if not page.is_file():
                raise
            sys.stderr.write(f"note: the page is older than the run: {error}\n")
    try:
        webbrowser.open(page.absolute().as_uri())
    except webbrowser.Error:
        pass
    print_path("page:", page)


def _write(directory: Directory, device: str) -> None:
    from bimt_tf.runs.load import load_run
    from bimt_tf.runs.page_file import PAGE, write_page

    write_page(load_run(directory, device), directory / PAGE)
