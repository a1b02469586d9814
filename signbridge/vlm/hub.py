"""What the Hugging Face hub has of a model, what its cache here has, and who may fetch it.

Nothing is asked over the network that the cache can tell: a commit never changes.
"""

from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

from huggingface_hub import HfApi, constants, get_token, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from signbridge.core.errors import SignBridgeError, refusal
from signbridge.core.model_folder import MODEL_FILES, Quantization, check_model_folder
from signbridge.vlm.library_errors import first_line

SECONDS_TO_ANSWER = 10.0


class HubFile(NamedTuple):
    """One file of a repository."""

    name: str
    size: int | None  # bytes; None where the hub does not say
    sha256: str | None  # of files in Git LFS


class Listing(NamedTuple):
    """What the hub says of a model at one commit."""

    files: list[HubFile]  # those that make up the model: no code, no pickles
    gated: bool  # its owner lets in those who have accepted a licence

    @property
    def size(self) -> int:
        """Bytes of all files whose size is known."""
        return sum(file.size or 0 for file in self.files)


def cache_folder() -> Path:
    """Where the hub's client keeps what it fetches (`HF_HOME`, `HF_HUB_CACHE`)."""
    return Path(constants.HF_HUB_CACHE)


def snapshot_folder(hub_id: str, revision: str) -> Path:
    """Where the files of that commit lie in the cache, whether they are there or not."""
    return cache_folder() / f"models--{hub_id.replace('/', '--')}" / "snapshots" / revision


def at_hand(hub_id: str, revision: str, quantization: Quantization) -> Path | None:
    """The folder in the cache with all files of the model; None if one is missing or is cut short."""
    try:
        folder = Path(
            snapshot_download(hub_id, revision=revision, allow_patterns=list(MODEL_FILES), local_files_only=True)
        )
        check_model_folder(folder, quantization)
    except (OSError, ValueError, SignBridgeError):
        return None
    return folder


def fetch(hub_id: str, revision: str, files: Sequence[str]) -> Path:
    """The folder in the cache with those files of the model, by patterns; what is missing there is fetched.

    Raises `SignBridgeError` if one cannot be had.
    """
    silent = unanswered(hub_id, revision)
    where = {"revision": revision, "allow_patterns": list(files), "local_files_only": silent is not None}
    try:
        return Path(snapshot_download(hub_id, **where))
    except GatedRepoError:
        raise no_entry(hub_id) from None
    except RevisionNotFoundError:
        raise no_commit(hub_id, revision) from None
    except (OSError, ValueError, RuntimeError, HTTPError) as error:  # RuntimeError: of the library that fetches
        error = silent or error
        if said := refusal(error):  # the cache: read-only, or full
            raise said from error
        raise SignBridgeError(
            f"model {hub_id} at {revision[:12]} cannot be had from the hub: {first_line(error)}\n"
            "Check the network and the name, and run it again: files that are whole are kept. Or fetch it elsewhere, "
            "and use source: folder with its path."
        ) from error


def unanswered(hub_id: str, revision: str | None) -> Exception | None:
    """Why the hub cannot be asked for a model; None if it answers, whatever it says.

    Without a network its client tries six times for each request, for minutes.
    """
    try:
        HfApi().model_info(hub_id, revision=revision, timeout=SECONDS_TO_ANSWER)
    except HfHubHTTPError:
        return None
    except (OSError, ValueError, HTTPError) as error:
        return error
    return None


def listing(hub_id: str, revision: str) -> Listing:
    """What the hub says of the model at that commit; nothing of it is fetched.

    Raises `SignBridgeError` with what to do if it cannot be reached, or has no such model.
    """
    try:
        info = HfApi().model_info(hub_id, revision=revision, files_metadata=True, timeout=SECONDS_TO_ANSWER)
    except GatedRepoError:
        raise no_entry(hub_id) from None
    except RevisionNotFoundError:
        raise no_commit(hub_id, revision) from None
    except RepositoryNotFoundError:
        raise SignBridgeError(
            f"{hub_id}: no such model on the hub, or it is private and HF_TOKEN is of somebody else. "
            "Correct hub_id in models.yaml, or log in with `hf auth login`."
        ) from None
    except (OSError, ValueError, HTTPError) as error:
        raise refusal(error) or out_of_reach(hub_id, error) from None
    files = [
        HubFile(file.rfilename, file.size, file.lfs.sha256 if file.lfs else None)
        for file in info.siblings or []
        if any(fnmatch(file.rfilename, pattern) for pattern in MODEL_FILES)
    ]
    return Listing(files, bool(info.gated))


def check_entry(hub_id: str) -> None:
    """Raises `SignBridgeError` with what to do if the files of a gated model are not for whoever asks here."""
    try:
        HfApi().auth_check(hub_id)
    except RepositoryNotFoundError:  # GatedRepoError is one
        raise no_entry(hub_id) from None
    except (OSError, ValueError, HTTPError) as error:
        raise refusal(error) or out_of_reach(hub_id, error) from None


def no_entry(hub_id: str) -> SignBridgeError:
    """The refusal of a gated repository."""
    who = "the token that is set has no access" if get_token() else "there is no token here"
    return SignBridgeError(
        f"{hub_id} is gated, and {who}: accept its licence on https://huggingface.co/{hub_id}, then "
        "run `hf auth login` or set HF_TOKEN."
    )


def no_commit(hub_id: str, revision: str) -> SignBridgeError:
    """The refusal of a commit that a repository does not have."""
    return SignBridgeError(f"{hub_id}: no commit {revision} on the hub. Correct revision in models.yaml.")


def out_of_reach(hub_id: str, error: Exception) -> SignBridgeError:
    """What to do where the hub cannot be asked for a model that is not at hand."""
    return SignBridgeError(
        f"{hub_id} is not in {cache_folder()}, and the hub cannot be reached: {first_line(error)}.\n"
        "Run `python -m signbridge.fetch_model` where there is a network, and set HF_HOME here to the folder that it "
        "names. Or use source: folder with a path."
    )


def still_to_fetch(hub_id: str, revision: str, listed: Listing) -> int:
    """Bytes of the listed files that the cache does not have."""
    folder = snapshot_folder(hub_id, revision)
    return sum(file.size or 0 for file in listed.files if not (folder / file.name).is_file())
