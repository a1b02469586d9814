"""Where published sets are downloaded from, and kept: Kaggle, one file of the Hugging Face hub, one file of the web.

What is there is not downloaded again, and asks no network. Before a download the disk must have room for it.
"""

import hashlib
import logging
import os
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from pydantic import Field
from tqdm import tqdm

from signbridge.core.errors import SignBridgeError, refusal
from signbridge.core.params import Section
from signbridge.core.tables import file_sha256

KAGGLE_HANDLE = r"^[^/]+/[^/]+/versions/[0-9]+$"  # owner/dataset/versions/N
HUB_ID = r"^[\w.-]+/[\w.-]+$"
COMMIT = r"^[0-9a-f]{40}$"
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
CONNECT_SECONDS, READ_SECONDS = 5, 12  # Kaggle's client sets no timeout of its own on the first request
UNPACKED = 2.2  # times the download: Kaggle's client keeps the archive until it is unpacked
SPARE = 1.05
AT_ONCE = 2**20  # bytes

log = logging.getLogger(__name__)


class HubFile(Section):
    """One file of a dataset of the hub."""

    hub_id: str = Field(pattern=HUB_ID)  # some-org/some-name
    revision: str = Field(pattern=COMMIT)
    file: str
    sha256: Sha256 | None = None


class WebFile(Section):
    """One file that a server gives without an account."""

    url: str = Field(pattern=r"^https?://[^/]+/.+[^/]$")
    sha256: Sha256 | None = None


def kaggle_folder(handle: str, gigabytes: float | None, way_out: str) -> Path:
    """The folder in kagglehub's cache with that version of a dataset (`owner/dataset/versions/N`).

    Credentials in kagglehub's environment variables and files are honoured; public sets need none. Raises
    `SignBridgeError` if Kaggle cannot be reached or refuses, or the disk lacks room; `way_out` is what to do instead.
    """
    import kagglehub  # here, because it takes a second and a local archive needs none of it
    import requests
    from kagglehub import exceptions
    from kagglehub.cache import Cache
    from kagglehub.config import get_cache_folder
    from kagglehub.handle import parse_dataset_handle
    from kagglesdk.kaggle_env import get_endpoint, get_env

    # kagglehub's own exceptions share no base; requests' are OSErrors, a bad credentials file is a ValueError.
    failures = (
        OSError,
        ValueError,
        RuntimeError,
        zipfile.BadZipFile,
        exceptions.BackendError,
        exceptions.CredentialError,
        exceptions.DataCorruptionError,
        exceptions.KaggleEnvironmentError,
        exceptions.NotFoundError,
        exceptions.UnauthenticatedError,
    )
    try:
        if Cache().load_from_cache(parse_dataset_handle(handle)) is None:
            check_room(Path(get_cache_folder()), gigabytes, "KAGGLEHUB_CACHE", UNPACKED)
            requests.head(get_endpoint(get_env()), timeout=(CONNECT_SECONDS, READ_SECONDS))
        return Path(kagglehub.dataset_download(handle))
    except failures as error:
        if said := refusal(error):
            raise said from None
        # Its text is left out: a proxy's address or a request may hold a password.
        raise SignBridgeError(
            f"cannot fetch '{handle}' from Kaggle ({_reason(error)}). Check the network, proxy and Kaggle credentials, "
            f"or {way_out}."
        ) from None


def hub_file(file: HubFile) -> Path:
    """One file of a dataset of the hub, in the hub client's cache. Raises `SignBridgeError` if it cannot be had."""
    with of_hub(file.hub_id, file.revision):
        from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache

        where = {"repo_type": "dataset", "revision": file.revision}
        is_here = isinstance(try_to_load_from_cache(file.hub_id, file.file, **where), str)
        if not is_here and (silent := unanswered(file.hub_id, file.revision)):
            raise silent
        planned = hf_hub_download(file.hub_id, file.file, **where, dry_run=True)
        if planned.will_download:
            check_room(Path(constants.HF_HUB_CACHE), (planned.file_size or 0) / 1e9, "HF_HOME")
        path = Path(hf_hub_download(file.hub_id, file.file, **where))
    _check_sha256(path, file.sha256, file.file)
    return path


def unanswered(hub_id: str, revision: str) -> Exception | None:
    """Why the hub cannot be asked for a dataset; None if it answers, whatever it says.

    Without a network its client tries six times for each request, for minutes.
    """
    from huggingface_hub import HfApi, errors

    try:
        HfApi().dataset_info(hub_id, revision=revision, timeout=READ_SECONDS)
    except errors.HfHubHTTPError:
        return None
    except (OSError, ValueError, errors.HTTPError) as error:
        return error
    return None


@contextmanager
def of_hub(hub_id: str, revision: str) -> Iterator[None]:
    """Say what the hub refuses of a dataset, and what to do."""
    try:
        from huggingface_hub import errors
    except ModuleNotFoundError:
        raise SignBridgeError(
            "datasets of the hub need huggingface_hub: pip install -c requirements.lock -e '.[vlm]'."
        ) from None
    try:
        yield
    except errors.GatedRepoError:
        raise SignBridgeError(
            f"{hub_id} is gated: accept its terms on https://huggingface.co/datasets/{hub_id}, then run "
            "`hf auth login` or set HF_TOKEN."
        ) from None
    except errors.RevisionNotFoundError:
        raise SignBridgeError(
            f"{hub_id}: no commit {revision} on the hub. Correct `revision` in datasets.yaml."
        ) from None
    except errors.RepositoryNotFoundError:
        raise SignBridgeError(
            f"{hub_id}: no such dataset on the hub, or it is private. Correct it in datasets.yaml, or run `hf auth "
            "login`."
        ) from None
    except errors.EntryNotFoundError as error:
        if isinstance(error, errors.LocalEntryNotFoundError):  # no network, and not in the cache
            raise _unreachable(hub_id, error) from None
        raise SignBridgeError(
            f"{hub_id} at {revision[:12]}: no such file there. Correct it in datasets.yaml."
        ) from None
    except (OSError, ValueError, RuntimeError, errors.HTTPError) as error:
        raise refusal(error) or _unreachable(hub_id, error) from None


def _unreachable(hub_id: str, error: Exception) -> SignBridgeError:
    return SignBridgeError(
        f"{hub_id} is not in the cache here, and cannot be had from the hub ({_reason(error)}). Check the network and "
        "HF_TOKEN, and run it again: files that are whole are kept. Or set HF_HOME to a copy of a cache that has it."
    )


def web_file(file: WebFile, gigabytes: float | None) -> Path:
    """The file in the cache (`SIGNBRIDGE_CACHE`, else ~/.cache/signbridge). A download that broke off goes on there.

    Raises `SignBridgeError` if it cannot be had, or is not what `sha256` says.
    """
    name = file.url.rpartition("/")[2]
    cache = Path(os.environ.get("SIGNBRIDGE_CACHE", "~/.cache/signbridge")).expanduser()
    path = cache / hashlib.sha256(file.url.encode()).hexdigest()[:16] / name
    if not path.exists():
        check_room(cache, gigabytes, "SIGNBRIDGE_CACHE")
        unfinished = path.with_name(f"{name}.unfinished")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _download(file.url, unfinished)
        except OSError as error:  # requests' too
            if said := refusal(error):
                raise said from None
            raise SignBridgeError(
                f"cannot fetch {file.url} ({_reason(error)}). Check the network and run it again: what came is kept. "
                "Or set `path` of the dataset in datasets.yaml to a local copy."
            ) from None
        _check_sha256(unfinished, file.sha256, name)
        os.replace(unfinished, path)
    return path


def _download(url: str, unfinished: Path) -> None:
    import requests

    there = unfinished.stat().st_size if unfinished.exists() else 0
    asked = {"Range": f"bytes={there}-"} if there else {}
    with requests.get(url, headers=asked, stream=True, timeout=(CONNECT_SECONDS, READ_SECONDS)) as answer:
        if there and answer.status_code == 416:  # nothing is left to send
            return
        answer.raise_for_status()
        if answer.headers.get("Content-Type", "").startswith("text/html"):
            raise SignBridgeError(f"{url}: gives a web page, not the file. Set `path` of the dataset to a local copy.")
        there = there if answer.status_code == 206 else 0
        length = answer.headers.get("Content-Length")
        total = there + int(length) if length else None
        with (
            unfinished.open("ab" if there else "wb") as out,
            tqdm(desc=unfinished.stem, total=total, initial=there, unit="B", unit_scale=True, disable=None) as bar,
        ):
            for part in answer.iter_content(AT_ONCE):
                out.write(part)
                bar.update(len(part))
    if total is not None and unfinished.stat().st_size < total:
        raise requests.ConnectionError("it broke off")


def check_room(folder: Path, gigabytes: float | None, variable: str, times: float = SPARE) -> None:
    """Raises `SignBridgeError` where the disk of `folder` has no room for `times` so many GB.

    `variable` is the environment variable that names another folder.
    """
    folder = folder.expanduser().absolute()
    there = next(place for place in (folder, *folder.parents) if place.exists())
    needed, free = (gigabytes or 0) * times, shutil.disk_usage(there).free / 1e9
    if needed > free:
        raise SignBridgeError(
            f"the download needs {needed:.1f} GB in {folder}, where {free:.1f} GB are free. Free some room, or set "
            f"{variable} to a folder on a larger disk."
        )


def _check_sha256(path: Path, expected: str | None, name: str) -> None:
    if expected is None:
        log.warning("%s: nobody has told its SHA-256, so it is not checked", name)
        return
    if (found := file_sha256(path)) != expected:
        path.resolve().unlink()
        raise SignBridgeError(
            f"{name}: its SHA-256 is {found}, not the one in datasets.yaml. It was removed: run it again. If it stays "
            "so, others have changed it: correct `sha256` in datasets.yaml once you know how."
        )


def _reason(error: Exception) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    return f"it answered {status}" if status else type(error).__name__
