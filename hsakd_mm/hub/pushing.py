"""Push a folder to the Hugging Face hub, or say in one sentence why that is not possible."""

import re
from collections.abc import Sequence

from huggingface_hub import HfApi, constants, get_token
from huggingface_hub.errors import HfHubHTTPError

from hsakd_mm.errors import UserError

NETWORK = ('httpx', 'httpx2', 'httpcore', 'httpcore2', 'requests', 'urllib3')  # whose errors are those of the network


def require_token() -> str:
    """The token in ``HF_TOKEN``, else that of ``hf auth login``.

    Raises:
        UserError: There is none.
    """
    token = get_token()
    if not token:
        raise UserError(
            f'a token of {constants.ENDPOINT} was expected in HF_TOKEN, and there is none: make one with write access '
            f'(huggingface.co/settings/tokens), and export HF_TOKEN=...'
        )
    return token


def require_repository(repository: str) -> None:
    """Raise UserError unless this reads ``OWNER/NAME``."""
    if not re.fullmatch(r'[\w.-]+/[\w.-]+', repository):
        raise UserError(f'--push-to-hub was expected to read OWNER/NAME, and is {repository!r}: name both.')


def push_folder(
    folder: str, repository: str, files: Sequence[str], public: bool = False, message: str = 'Export of hsakd_mm'
) -> str:
    """Make the repository where it does not exist, and commit files of a folder.

    The server is the one of ``HF_ENDPOINT``, as for all of huggingface_hub.

    Args:
        folder (str): Where they are.
        repository (str): ``OWNER/NAME``.
        files (Sequence[str]): Their names. Others in the repository stay.
        public (bool): Make a new repository public; private by default. An existing one stays what it is.
        message (str): Of the commit.

    Returns:
        str: The address of the commit.

    Raises:
        UserError: No token, one that is refused, no network, or what else the server says.
    """
    require_repository(repository)
    api = HfApi(token=require_token(), library_name='hsakd_mm')
    try:
        api.create_repo(repository, private=not public, exist_ok=True)
        done = api.upload_folder(
            repo_id=repository, folder_path=folder, commit_message=message, allow_patterns=list(files)
        )
    except Exception as error:
        if isinstance(error, HfHubHTTPError) and error.response is not None:
            raise UserError(_refused(repository, error)) from error
        if not isinstance(error, OSError | ValueError) and type(error).__module__.partition('.')[0] not in NETWORK:
            raise
        raise UserError(
            f'{", ".join(files)} were to be pushed to {constants.ENDPOINT}/{repository}, and that failed '
            f'({_first_line(error)}): check the network, and HF_ENDPOINT if it is set, and give the same command again.'
        ) from error
    return done.commit_url


def _refused(repository: str, error: HfHubHTTPError) -> str:
    status = error.response.status_code
    said = error.server_message or _first_line(error)
    if status in (401, 403):
        return (
            f'a token that may write to {repository} was expected in HF_TOKEN, and {constants.ENDPOINT} refused it '
            f'({status}: {said}): make one with write access to this owner (huggingface.co/settings/tokens).'
        )
    return f'{constants.ENDPOINT} was expected to take {repository}, and answered {status} ({said}): see what it says.'


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
