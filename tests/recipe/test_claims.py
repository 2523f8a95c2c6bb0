"""The vocabulary of claims: what it accepts, and what it says of what it does not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from harness.recipe.claims import Claim

ADAPTER: TypeAdapter[Claim] = TypeAdapter(Claim)


def read(**fields: Any) -> Claim:
    return ADAPTER.validate_json(json.dumps({"id": "it", "says": "It is.", **fields}))


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"kind": "fails", "cell": "a"}, [("cell", "a")]),
        ({"kind": "beats", "cell": "a", "over": "b"}, [("cell", "a"), ("over", "b")]),
        ({"kind": "not_worse", "cell": "a", "over": "b"}, [("cell", "a"), ("over", "b")]),
        ({"kind": "ordering", "cells": ["a", "untrained"]},
         [("cells.0", "a"), ("cells.1", "untrained")]),
        ({"kind": "monotone", "cells": ["a", "b"]}, [("cells.0", "a"), ("cells.1", "b")]),
        ({"kind": "plateau", "cells": ["a", "b", "c"]},
         [("cells.0", "a"), ("cells.1", "b"), ("cells.2", "c")]),
    ],
)  # fmt: skip
def test_a_claim_names_its_cells(fields: dict[str, Any], named: list[tuple[str, str]]) -> None:
    assert read(**fields).named() == named


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "beats", "cell": "a", "over": "a"}, "over: a is listed twice"),
        ({"kind": "plateau", "cells": ["a", "b", "a"]}, "cells.2: a "),
        ({"kind": "plateau", "cells": ["a"]}, "at least 2 items"),
        ({"kind": "fails", "cell": "untrained"}, "cell: untrained is the control"),
        ({"kind": "monotone", "cells": ["untrained", "a"]}, "cells.0: untrained is the control"),
        (
            {"kind": "beats", "cell": "a", "over": "untrained", "metric": "pretext/top1"},
            "metric: untrained has no pretext",
        ),
        ({"kind": "beats", "cell": "a", "over": "b", "may_fail": ["c"]}, "may_fail.0: c "),
        ({"kind": "fails", "cell": "a", "over": "b"}, "Extra inputs"),
    ],
)
def test_a_claim_that_says_nothing_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        read(**fields)
