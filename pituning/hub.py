"""What goes wrong with the Hugging Face hub, said in one line. Torch-free."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pituning.errors import BadInput


@contextmanager
def explained(where: str, page: str, revision: str | None, *, instead: str) -> Iterator[None]:
    """Makes an error of the hub's library into one line.

    Args:
        where: what is fetched, such as ``hub model owner/name``.
        page: of it on the hub.
        revision: that was asked for.
        instead: what can be given where the hub cannot be reached.

    Raises:
        BadInput: with ``field`` source or revision.
    """
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError as error:
        raise BadInput(
            f"{where} is gated: accept its terms at {page}, then give a token of your account: hf auth login "
            "(or set HF_TOKEN)",
            field="source",
        ) from error
    except errors.RevisionNotFoundError as error:
        raise BadInput(f"{where} has no revision {revision!r}; see {page}/commits/main", field="revision") from error
    except errors.RepositoryNotFoundError as error:
        raise BadInput(
            f"{where} does not exist, or is private; check how it is written, or log in: hf auth login", field="source"
        ) from error
    except errors.HFValidationError as error:
        raise BadInput(f"{where} is no hub id; give owner/name", field="source") from error
    except errors.LocalEntryNotFoundError as error:
        raise BadInput(
            f"the hub cannot be reached and its cache has no whole {where}; connect this machine, or {instead}",
            field="source",
        ) from error
    except errors.HfHubHTTPError as error:
        code = getattr(error.response, "status_code", None)
        fix = "log in: hf auth login (or set HF_TOKEN)" if code in (401, 403) else "try again later"
        raise BadInput(f"the hub answered {code} for {where}; {fix}", field="source") from error
    except BadInput:
        raise
    except Exception as error:
        if isinstance(error, errors.OfflineModeIsEnabled | ConnectionError | TimeoutError) or of_transport(error):
            raise BadInput(
                f"the connection to the hub broke off while fetching {where}; run the command again: it goes on",
                field="source",
            ) from error
        if type(error).__module__.partition(".")[0] in ("huggingface_hub", "hf_xet"):
            raise BadInput(
                f"{where} cannot be fetched: {' '.join(str(error).split())[:200]}", field="source"
            ) from error
        raise


def of_transport(error: Exception) -> bool:
    """Whether an error comes from the library that speaks HTTP, whichever of them the hub's library uses."""
    return any(
        base.__module__.partition(".")[0] in ("httpx", "httpx2", "requests") for base in type(error).__mro__
    ) and (getattr(error, "response", None) is None)
