"""Test, before wandb is used, whether W&B's server answers and accepts the key.

wandb keeps the id of a run that it failed to open online until its process ends. So a run must not
be tried online if that would surely fail. The request is one that every W&B server answers: whose
key it is.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from harness.track.wandb.mode import credentials, server

QUESTION = b'{"query": "query Viewer { viewer { id } }", "variables": {}}'


def objection(timeout_s: float, env: Mapping[str, str] = os.environ) -> str:
    """Why nothing can be mirrored online now; "" if there is no reason."""
    place = server(env)
    if not place.startswith(("http://", "https://")):
        return f"{place} is not an address"
    request = urllib.request.Request(
        f"{place}/graphql", QUESTION, {"Content-Type": "application/json"}
    )
    key = credentials(env) or ""
    token = Path(key).is_file()  # wandb must exchange an identity token first
    if not token:
        login = base64.b64encode(f"api:{key}".encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {login}")
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            who = json.load(answer)["data"]["viewer"]
    except urllib.error.HTTPError as error:
        error.close()
        if error.code not in (401, 403):
            return f"{place} answers {error.code} {error.reason}"
        return "" if token else f"{place} refuses the key"
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLError):  # wandb has its own certificates
            return ""
        return f"{place} cannot be reached ({reason})"
    except (ValueError, KeyError, TypeError):
        return f"{place} does not answer like a W&B server"
    return "" if who or token else f"{place} refuses the key"
