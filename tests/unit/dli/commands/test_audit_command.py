from __future__ import annotations

import json

import pytest

from unit.dli.basecamp import Basecamp
from unit.dli.conftest import Dli
from unit.dli.specs import CLICKS, CLICKS_FILES, spec_of

YAML = spec_of(CLICKS, more='schedule: {cron: "0 9 * * *"}\n')


@pytest.mark.rule("26.75")
def test_the_audit_log_is_a_table(basecamp: Basecamp, dli: Dli, monkeypatch: pytest.MonkeyPatch) -> None:
    basecamp.put_manual(CLICKS, YAML, CLICKS_FILES)
    for user, command in (("ada", "pause"), ("eve", "unpause")):
        monkeypatch.setenv("DLI_USER", user)
        assert dli("workflow", command, CLICKS).status == 0
    lines = dli("audit").out.splitlines()
    assert lines[0].split() == ["TIME", "WHO", "ROLE", "ACTION", "DATASET", "OUTCOME", "REASON"]
    assert {line.split()[2] for line in lines[1:]} == {"ada", "eve"}
    entries = json.loads(dli("audit", "--user", "ada", "--dataset", CLICKS, "--format", "json").out)
    assert [(entry["action"], entry["outcome"]) for entry in entries] == [("pause", "done")]
    assert json.loads(dli("audit", "--since", "2999-01-01", "--format", "json").out) == []
