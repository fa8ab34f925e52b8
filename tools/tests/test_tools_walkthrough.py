"""The walkthrough speaks of this code: its records parse, its plan and request are those that are made."""

import json
import re
from pathlib import Path

import pytest
from engine.backend import Devices
from engine.plan import VmView, plan
from engine.plan.text import render
from pydantic import TypeAdapter
from schema.operations import VmStart
from schema.records import Record
from schema.rpc import encode_request
from xenops.vmfile import parse_vm_file

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "walkthroughs" / "vm-start.md").read_text()
JSON = re.findall(r"^```json\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
RECORDS = [block for block in JSON if block.startswith('{"kind"')]


@pytest.mark.parametrize("block", RECORDS, ids=lambda block: str(json.loads(block)["kind"]))
def test_a_record_of_the_walkthrough_is_one(block: str) -> None:
    record = TypeAdapter(Record).validate_json(block)
    shown = json.loads(block)
    assert {name: record.model_dump(mode="json")[name] for name in shown} == shown


def test_the_records_of_the_walkthrough_come_in_the_order_of_a_start() -> None:
    kinds = [json.loads(block)["kind"] for block in RECORDS]
    assert kinds == ["Submitted", "Leased", "Started", "Progress", "Finished"]


def test_the_plan_of_the_walkthrough_is_the_one_that_is_made_for_its_vm() -> None:
    [file] = [block for block in JSON if '"vbds"' in block]
    added = parse_vm_file(file, Path("/vms/demo.json"))
    devices = Devices(vbds=added.vbds, vifs=added.vifs)
    made = render(plan(VmStart(vm=added.vm.id), VmView(added.vm, devices)))
    assert made.strip() in TEXT


def test_the_request_of_the_walkthrough_is_what_the_client_sends() -> None:
    sent = encode_request("VM.start", request_id=1, debug_info="xenops", id="demo", paused=False)
    assert sent.decode() + "\n" in JSON
