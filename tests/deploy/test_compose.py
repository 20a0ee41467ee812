"""docker-compose.yml agrees with itself, with Prometheus and with the files it mounts."""

import importlib
import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.commands.rules import UPLOADS
from marketkit.guard import UPLOAD_BYTES_MAX

ROOT = Path(__file__).parents[2]
# Made by deploy/make_keys.py on the machine, never in the repository.
MADE_LATER = ("./keys/", "./secrets/")
PROGRAMS = {
    "energy": "energy-trade",
    "emission": "emission-trade",
    "land": "land-index",
    "gateway": "gateway",
}


def read(*path: str) -> Any:
    return yaml.safe_load(ROOT.joinpath(*path).read_text("utf-8"))


COMPOSE = read("docker-compose.yml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: one for name, one in SERVICES.items() if one["image"].startswith("yaosu/")}


def mounts() -> list[str]:
    found = [volume for one in SERVICES.values() for volume in one.get("volumes", [])]
    return [volume.partition(":")[0] for volume in found] + [
        secret["file"] for secret in COMPOSE["secrets"].values()
    ]


def test_every_image_is_pinned_by_a_version() -> None:
    for one in SERVICES.values():
        name, _, tag = one["image"].rpartition(":")
        assert name
        assert re.match(r"v?\d+", tag), one["image"]


def test_nothing_of_this_machine_is_named() -> None:
    for mount in mounts():
        if mount not in COMPOSE["volumes"]:
            assert mount.startswith("./"), mount
            assert mount.startswith(MADE_LATER) or (ROOT / mount).exists(), mount


def test_what_is_used_is_declared() -> None:
    for one in SERVICES.values():
        assert set(one.get("secrets", [])) <= COMPOSE["secrets"].keys()
        assert set(one.get("networks", [])) <= COMPOSE["networks"].keys()
        assert set(one.get("depends_on", {})) <= SERVICES.keys()


def test_what_kafka_keeps_is_on_its_volume() -> None:
    kafka = SERVICES["kafka"]
    assert kafka["volumes"] == [f"kafka:{kafka['environment']['KAFKA_LOG_DIRS']}"]


def test_the_sample_of_a_portal_knows_its_longest_answer_and_its_largest_question() -> None:
    said = (ROOT / "deploy" / "nginx" / "yaosu.conf").read_text()
    gateway = json.loads((ROOT / "services" / "gateway" / "openapi.json").read_text())
    (stream,) = re.findall(r"location = (\S+) \{", said)
    assert stream in gateway["paths"]
    ((files, megabytes),) = re.findall(
        r"location ~ (\S+) \{\s+client_max_body_size\s+(\d+)m;", said
    )
    assert int(megabytes) * 1024 * 1024 == UPLOAD_BYTES_MAX
    assert all(re.fullmatch(files.strip("^$"), f"/v1/energy/{place}") for place in UPLOADS)


def test_ports_are_open_to_this_machine_only() -> None:
    ports = [port for one in SERVICES.values() for port in one.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert not any(port.endswith(":9000") for port in ports)


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_service_migrates_before_it_serves(name: str) -> None:
    roles = {key for key in OURS if key.startswith(f"{name}-")}
    assert {f"{name}-migrate", f"{name}-api", f"{name}-worker"} <= roles
    for key in roles:
        one = OURS[key]
        assert one["image"].startswith(f"yaosu/{PROGRAMS[name]}:")
        assert one["command"] == ["--role", key.removeprefix(f"{name}-")]
        assert one["volumes"] == [f"./keys/{PROGRAMS[name]}:/run/keys:ro"]
        if not key.endswith("-migrate"):
            before = one["depends_on"][f"{name}-migrate"]
            assert before == {"condition": "service_completed_successfully"}


def test_only_migrations_know_the_owner_s_password() -> None:
    for name, one in OURS.items():
        is_migration = name.endswith("-migrate")
        environment = one["environment"]
        assert one["secrets"] == (["pgpass_owner"] if is_migration else ["pgpass"])
        assert environment["PGPASSFILE"] == f"/run/secrets/{one['secrets'][0]}"
        assert ("YAOSU_MIGRATE_URL" in environment) == is_migration
        assert "yaosu_app@" in environment["YAOSU_DATABASE_URL"]


def test_our_containers_can_change_nothing_of_themselves() -> None:
    for one in OURS.values():
        assert one["read_only"]
        assert one["cap_drop"] == ["ALL"]
        assert one["environment"]["YAOSU_ENV"] == "prod"


def test_the_gateway_knows_the_others_by_their_names() -> None:
    for name in ("gateway-api", "gateway-worker"):
        upstreams = json.loads(OURS[name]["environment"]["YAOSU_UPSTREAMS"])
        assert upstreams == {
            market: {
                "api": f"http://{market}-api:8000",
                "inner": f"http://{market}-api:9000",
                "source": f"/370500/{program}",
            }
            for market, program in PROGRAMS.items()
            if market != "gateway"
        }


def test_a_service_answers_under_the_name_the_gateway_uses() -> None:
    upstreams = json.loads(OURS["gateway-api"]["environment"]["YAOSU_UPSTREAMS"])
    called = {one["api"].removeprefix("http://").partition(":")[0] for one in upstreams.values()}
    for one in OURS.values():
        assert called <= set(json.loads(one["environment"]["YAOSU_ALLOWED_HOSTS"]))


def test_compose_sets_only_what_a_service_reads() -> None:
    read_by = {}
    for name, one in OURS.items():
        package = PROGRAMS[name.partition("-")[0]].replace("-", "_")
        if importlib.util.find_spec(f"{package}.settings"):
            settings = importlib.import_module(f"{package}.settings").Settings
            fields = {f"YAOSU_{field.upper()}" for field in settings.model_fields}
            read_by[name] = {key for key in one["environment"] if key[:5] == "YAOSU"} - fields
    assert read_by
    assert not {name: unread for name, unread in read_by.items() if unread}


def test_prometheus_watches_every_process_that_stays() -> None:
    (job,) = read("deploy", "prometheus", "prometheus.yml")["scrape_configs"]
    watched = {
        target: one["labels"]["service"]
        for one in job["static_configs"]
        for target in one["targets"]
    }
    assert watched == {
        f"{name}:{one['environment']['YAOSU_INNER_PORT']}": one["image"][len("yaosu/") :].split(
            ":"
        )[0]
        for name, one in OURS.items()
        if not name.endswith("-migrate")
    }


def test_compose_makes_the_topics_that_are_declared() -> None:
    declared = read("deploy", "topics.yaml")
    script = " ".join(SERVICES["topics"]["command"])
    assert script.split("for topic in ")[1].split(";")[0].split() == declared["topics"]
    assert f"--partitions {declared['partitions']} " in script
    assert f"retention.ms={declared['retention_days'] * 86_400_000};" in script


def test_strimzi_makes_the_topics_that_are_declared() -> None:
    declared = read("deploy", "topics.yaml")
    text = (ROOT / "deploy" / "kafka" / "topics-strimzi.yaml").read_text("utf-8")
    made = list(yaml.safe_load_all(text))
    assert [one["metadata"]["name"] for one in made] == declared["topics"]
    for one in made:
        assert one["spec"]["partitions"] == declared["partitions"]
        retention = one["spec"]["config"]["retention.ms"]
        assert retention == declared["retention_days"] * 86_400_000


def test_postgres_makes_every_database_that_is_used() -> None:
    made = (ROOT / "deploy" / "postgres" / "10-databases.sql").read_text("utf-8")
    databases = set(re.findall(r"CREATE DATABASE (\w+) OWNER yaosu_owner;", made))
    used = {one["environment"]["YAOSU_DATABASE_URL"].rpartition("/")[2] for one in OURS.values()}
    assert databases == used
