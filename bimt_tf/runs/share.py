"""Sharing a run: one ZIP file that ``load_run`` opens anywhere, and the same files on the Hugging Face Hub."""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryDirectory

from bimt_tf.errors import InputError
from bimt_tf.runs.directory import OWNED
from bimt_tf.runs.load import load_run
from bimt_tf.runs.model_card import model_card
from bimt_tf.runs.state import is_trained
from bimt_tf.runs.zip_files import is_zip, packed

__all__ = ["push", "share"]

CARD = "README.md"
LEFT_OUT = ("tensorboard", "wandb")
"""What other programs wrote."""
NAME = re.compile(r"[\w.-]+/[\w.-]+")


def share(directory: Path, out: Path, *, checkpoints: bool = False, license: str = "unknown") -> list[str]:
    """Pack a trained run into one ZIP file with a model card; returns the names of the files in it.

    Weights, layout, config, summary, answers, elimination, figures and the page go in; checkpoints only if asked for.

    Args:
        directory: the run.
        out: the file; a plain file there is replaced.
        checkpoints: whether training can be gone on with from the file.
        license: what the card says, an identifier of the Hub's list.

    Raises:
        InputError: for what is no run, one that has not been trained to its end, or a file that cannot be written.
    """
    files = _files(directory, out.name, checkpoints, license)
    packed(out, files)
    return [name for name, _ in files]


def push(
    directory: Path, name: str, *, checkpoints: bool = False, license: str = "unknown", private: bool = False
) -> str:
    """Upload what :func:`share` packs to a model repository of the Hugging Face Hub; returns its address.

    The repository is made if it is not there. The token is that of ``hf auth login`` or of ``HF_TOKEN``.

    Args:
        directory: the run.
        name: USER/NAME.
        checkpoints: as :func:`share`.
        license: as :func:`share`.
        private: whether a repository that is made can be seen by its owner alone.

    Raises:
        InputError: for a name that is none, a missing token, or what the Hub refuses, in one line.
    """
    if not NAME.fullmatch(name):
        raise InputError(f"a repository of the Hub is USER/NAME, found {name!r}")
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    if get_token() is None:
        raise InputError("the Hub needs a token to write: run 'hf auth login', or set HF_TOKEN")
    files = _files(directory, name, checkpoints, license)
    with TemporaryDirectory(prefix="bimt-") as folder:
        for own, content in files:
            target = Path(folder, own)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content if isinstance(content, bytes) else content.read_bytes())
        api = HfApi()
        try:
            made = api.create_repo(name, private=private, exist_ok=True)
            said = f"Run of bimt_tf: {directory.name}"
            api.upload_folder(repo_id=made.repo_id, folder_path=folder, commit_message=said)
        except (HfHubHTTPError, HFValidationError, OSError) as error:
            raise InputError(f"the Hub did not take {name}: {' '.join(str(error).split())[:300]}") from error
    return str(made)


def _files(directory: Path, opened: str, checkpoints: bool, license: str) -> list[tuple[str, Path | bytes]]:
    """(Name, file or content) of all that is shared, the card first."""
    if is_zip(directory):
        raise InputError(f"{directory} is a ZIP file, shared already: unpack it, and share its folder")
    if not is_trained(directory) and (directory / "config.yaml").is_file():
        raise InputError(f"{directory} has not been trained to its end: 'bimt resume {directory}' goes on")
    run = load_run(directory)
    wanted = [name for name in OWNED if name not in LEFT_OUT and (checkpoints or name != "checkpoints")]
    found: list[tuple[str, Path | bytes]] = [(CARD, model_card(run, opened, license).encode())]
    for name in wanted:
        place = directory / name
        inside = sorted(place.rglob("*")) if place.is_dir() and not place.is_symlink() else [place]
        plain = [path for path in inside if path.is_file() and not path.is_symlink()]
        found += [(path.relative_to(directory).as_posix(), path) for path in plain]
    return found
