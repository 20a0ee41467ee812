"""The chart: its values fit its schema, its templates balance, and its rendering is current.

Helm itself is too large to install for a test, so what it makes of the chart is committed, with
the chart's digest in its first line.
"""

import copy
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from deploy.programs import program

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "chart"
TEMPLATES = sorted((CHART / "templates").iterdir())
BLOCK = re.compile(r"\{\{-?\s*(?:(if|range|with|define)\b|(end)\b)")


@cache
def values() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    return found


@cache
def schema() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text("utf-8"))
    return found


@cache
def rendered() -> list[dict[str, Any]]:
    text = (DEPLOY / "kubernetes" / "yaosu.yaml").read_text("utf-8")
    return list(yaml.safe_load_all(text))


def of_kind(kind: str) -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one for one in rendered() if one["kind"] == kind}


def workloads() -> dict[str, dict[str, Any]]:
    return of_kind("Deployment") | of_kind("Job")


def role_of(workload: dict[str, Any]) -> str:
    found: str = workload["metadata"]["labels"]["app.kubernetes.io/component"]
    return found


def container(workload: dict[str, Any]) -> dict[str, Any]:
    (found,) = workload["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def test_the_rendering_is_of_this_chart() -> None:
    chart = program("render_chart.py")
    assert chart.RENDERED.read_text("utf-8").startswith(chart.first_line())


def test_the_default_values_fit_the_schema() -> None:
    jsonschema.Draft7Validator.check_schema(schema())
    jsonschema.validate(values(), schema())


@pytest.mark.parametrize(
    ("place", "wrong"),
    [
        (("image", "tag"), "latest"),
        (("city",), "3705"),
        (("portalHosts",), []),
        (("portalHosts",), ["Portal:8000"]),
        (("kafka", "servers"), "kafka"),
        (("services", "energy", "api", "replicas"), 0),
        (("services", "energy", "program"), "another"),
        (("postgres", "password"), "not here"),
        (("misspelt",), True),
    ],
)
def test_a_wrong_value_is_refused(place: tuple[str, ...], wrong: object) -> None:
    changed = copy.deepcopy(values())
    table = changed
    for name in place[:-1]:
        table = table[name]
    table[place[-1]] = wrong
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(changed, schema())


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_a_template_balances(template: Path) -> None:
    text = template.read_text("utf-8")
    assert text.count("{{") == text.count("}}")
    depth = 0
    for begins, ends in BLOCK.findall(text):
        depth += bool(begins) - bool(ends)
        assert depth >= 0
    assert depth == 0


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_every_value_a_template_asks_for_is_there(template: Path) -> None:
    asked = re.findall(r"\.Values((?:\.\w+)+)", template.read_text("utf-8"))
    for path in asked:
        table: Any = values()
        for name in path.strip(".").split("."):
            assert name in table, path
            table = table[name]


def test_every_service_has_its_roles() -> None:
    found = {(name.split("-")[1], role_of(one)) for name, one in workloads().items()}
    wanted = set()
    for name, service in values()["services"].items():
        wanted |= {(name, role) for role in ("api", "worker", "migrate")}
        wanted |= {(name, "opener")} if service["hasOpener"] else set()
    assert found == wanted


def test_no_pod_may_do_more_than_it_must() -> None:
    for one in workloads().values():
        pod = one["spec"]["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == 10001
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container(one)["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_secrets_are_referred_to_and_never_made() -> None:
    assert not of_kind("Secret")
    assert not of_kind("ConfigMap")
    for one in workloads().values():
        secret = one["spec"]["template"]["spec"]["volumes"][0]["secret"]["secretName"]
        assert re.fullmatch(r"yaosu-[a-z-]+-keys", secret)
        by_name = {entry["name"]: entry for entry in container(one)["env"]}
        key = by_name["PGPASSWORD"]["valueFrom"]["secretKeyRef"]["key"]
        assert key == ("owner-password" if role_of(one) == "migrate" else "app-password")
        assert ("YAOSU_MIGRATE_URL" in by_name) == (role_of(one) == "migrate")


def test_a_pod_is_probed_on_its_inner_port_and_has_time_to_stop() -> None:
    for one in of_kind("Deployment").values():
        found = container(one)
        assert found["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "inner"}
        assert found["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "inner"}
        assert {"name": "inner", "containerPort": 9000} in found["ports"]
        assert one["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 30
        assert found["lifecycle"]["preStop"] == {"exec": {"command": ["sleep", "5"]}}


def test_only_the_api_grows_and_there_is_one_opener() -> None:
    grown = {
        one["spec"]["scaleTargetRef"]["name"] for one in of_kind("HorizontalPodAutoscaler").values()
    }
    deployments = of_kind("Deployment")
    assert grown == {name for name, one in deployments.items() if role_of(one) == "api"}
    for one in deployments.values():
        if role_of(one) == "opener":
            assert one["spec"]["replicas"] == 1
            assert one["spec"]["strategy"] == {"type": "Recreate"}


def test_migrations_run_before_an_upgrade() -> None:
    for one in of_kind("Job").values():
        hook = one["metadata"]["annotations"]["helm.sh/hook"]
        assert hook == "pre-install,pre-upgrade"
        assert container(one)["args"] == ["--role", "migrate"]


def test_every_pod_is_behind_the_common_network_policy() -> None:
    wanted = of_kind("NetworkPolicy")["yaosu-all"]["spec"]["podSelector"]["matchLabels"]
    for one in workloads().values():
        labels = one["spec"]["template"]["metadata"]["labels"]
        assert wanted.items() <= labels.items()


def test_the_inner_port_is_open_to_the_gateway_and_metrics_only() -> None:
    for name, policy in of_kind("NetworkPolicy").items():
        for rule in policy["spec"].get("ingress", []):
            if 9000 in {port["port"] for port in rule["ports"]}:
                (sender,) = rule["from"]
                assert name == "yaosu-all" or sender["podSelector"]["matchLabels"] == {
                    "app.kubernetes.io/instance": "yaosu",
                    "app.kubernetes.io/name": "gateway",
                }
    assert not [
        port
        for port in of_kind("Service")["yaosu-gateway-api"]["spec"]["ports"]
        if port["name"] == "inner"
    ]


def test_a_service_answers_under_the_name_the_gateway_uses() -> None:
    for name, one in workloads().items():
        env = {entry["name"]: entry.get("value") for entry in container(one)["env"]}
        market = name.split("-")[1]
        own = values()["portalHosts"] if market == "gateway" else [f"yaosu-{market}-api"]
        assert json.loads(env["YAOSU_ALLOWED_HOSTS"]) == own


def test_the_gateway_knows_the_services_there_are() -> None:
    upstreams = json.loads(
        next(
            entry["value"]
            for entry in container(of_kind("Deployment")["yaosu-gateway-api"])["env"]
            if entry["name"] == "YAOSU_UPSTREAMS"
        )
    )
    services = of_kind("Service")
    assert set(upstreams) == set(values()["services"]) - {"gateway"}
    for one in upstreams.values():
        for url, port in ((one["api"], "8000"), (one["inner"], "9000")):
            host, _, found = url.removeprefix("http://").partition(":")
            assert host in services
            assert found == port
