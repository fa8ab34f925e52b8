"""What Prometheus is told, and that alert rules and the Grafana dashboard ask for what there is."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import pytest
from page_in_hand import INSTANCE, WORKER, Page
from prometheus_client.parser import text_string_to_metric_families
from schema import records
from schema.ids import VmId
from schema.overseen import Atom

ROOT = Path(__file__).parents[3]
ALERTS = (ROOT / "docs/operators/alerts.yml").read_text()
RULE = re.compile(
    r"- alert: (?P<name>\w+)\n +expr: (?P<expr>.+?)\n +(?:for|labels):.+?summary: (?P<said>.+?)\n", re.DOTALL
)
METRIC = re.compile(r"\b(?P<name>xenops_\w+)(?:\{(?P<chosen>[^}]*)\})?")


@dataclass(frozen=True, slots=True)
class Asked:
    """An expression, and the labels that are shown of what it answers."""

    where: str
    expr: str
    shown: frozenset[str]


def asked() -> list[Asked]:
    """All that rules and dashboard ask for."""
    found = [
        Asked(rule["name"], rule["expr"], frozenset(re.findall(r"\$labels\.(\w+)", rule["said"])))
        for rule in RULE.finditer(ALERTS)
    ]
    grafana = json.loads((ROOT / "docs/operators/grafana.json").read_text())
    for panel in grafana["panels"]:
        for target in panel["targets"]:
            shown = frozenset(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            found.append(Asked(panel["title"], target["expr"], shown))
    return found


@pytest.fixture(name="page", scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """One of whose tasks has run."""
    with Page(tmp_path_factory.mktemp("page")) as page:
        page.append(records.WorkerUp(worker=WORKER, epoch="e", capacity=2))
        task = page.submit("measured")
        page.run(task, "measured")
        atoms = (Atom("VM_build", 0.0, 0.5),)
        page.append(
            records.Finished(vm=VmId("measured"), task=task, outcome=records.Succeeded(), atoms=atoms)
        )
        page.await_("/metrics", lambda reply: "xenops_long_polls{" in reply.text)
        yield page


@pytest.fixture(name="labels", scope="module")
def scrape(page: Page) -> dict[str, set[str]]:
    """The labels of each series that there is, by its name."""
    families = text_string_to_metric_families(page.ask("GET", "/metrics").text)
    return {sample.name: set(sample.labels) for family in families for sample in family.samples}


def test_metrics_tell_what_there_is(page: Page) -> None:
    text = page.ask("GET", "/metrics").text
    assert f'xenops_ready{{instance="{INSTANCE}"}} 1.0' in text
    assert f'xenops_worker_up{{instance="{INSTANCE}",worker="w"}} 1.0' in text
    assert 'xenops_atom_seconds_count{atom="VM_build"' in text
    assert 'xenops_tasks_ended_total{instance="org.xen.lab",operation="VM_start",state="done"}' in text
    assert page.ask("GET", "/healthz", token=None).json == {"status": "ok"}
    assert page.ask("GET", "/metrics", token=None).status == HTTPStatus.UNAUTHORIZED


@pytest.mark.parametrize("one", asked(), ids=lambda one: one.where)
def test_what_rules_and_dashboard_ask_for_is_there_with_these_labels(
    one: Asked, labels: dict[str, set[str]]
) -> None:
    metrics = list(METRIC.finditer(one.expr))
    assert metrics, one
    grouped = [set(re.split(r",\s*", group)) for group in re.findall(r"\bby \(([^)]*)\)", one.expr)]
    for metric in metrics:
        known = labels[metric["name"]]
        assert set(re.findall(r"(\w+)=", metric["chosen"] or "")) <= known
        assert all(group <= known for group in grouped)
        assert one.shown <= (set.intersection(known, *grouped) if grouped else known)


def test_every_rule_is_looked_at() -> None:
    names = re.findall(r"- alert: (\w+)", ALERTS)
    assert [rule["name"] for rule in RULE.finditer(ALERTS)] == names


def test_instances_keep_their_names_at_prometheus(labels: dict[str, set[str]]) -> None:
    """Who scrapes puts its target's address there, unless told that the label is ours."""
    assert "instance" in labels["xenops_ready"]
    for name in ("docs/operators.md", "images/prometheus.yml"):
        text = (ROOT / name).read_text()
        assert len(re.findall(r"job_name: xenops\n +honor_labels: true +#", text)) == 1, name


def test_each_alert_has_its_runbook() -> None:
    alerts = re.findall(r"alert: (\w+)", ALERTS)
    runbooks = re.findall(r"^### (\w+)$", (ROOT / "docs/operators.md").read_text(), re.MULTILINE)
    assert alerts == runbooks
    linked = re.findall(r"operators\.md#(\w+)", ALERTS)
    assert linked == [alert.lower() for alert in alerts]
