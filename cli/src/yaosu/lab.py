"""`yaosu lab`: the fault lab, which lives beside the tests and is part of no package."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

TESTS = Path(__file__).parents[3] / "tests"


def lab(
    seed: Annotated[int, typer.Option(help="同一种子，同一故障次序")] = 1,
    plan: Annotated[str, typer.Option(help="计划：P0 至 P8，见 docs/fault-lab.md")] = "",
    minutes: Annotated[str, typer.Option(help="时长，可为小数；不填则按计划")] = "",
    plant: Annotated[str, typer.Option(help="植入的缺陷，逗号分隔；all 为逐一全部")] = "",
    seeds: Annotated[int, typer.Option(help="植入的缺陷各以几个种子逐一运行")] = 0,
    kafka: Annotated[bool, typer.Option("--kafka", help="三个真实的 Kafka 节点")] = False,
    keep: Annotated[Path | None, typer.Option(help="保留全部数据、日志与报告的目录")] = None,
) -> None:
    """故障实验：真实进程、负载、有种子的故障，然后核查；须在源码目录中运行。"""
    if not (TESTS / "lab").is_dir():
        typer.echo("故障实验只在源码目录中 / the lab needs a checkout. Type: git clone …", err=True)
        raise typer.Exit(1)
    options = {
        "--seed": seed,
        "--plan": plan or None,
        "--minutes": minutes or None,
        "--plant": plant or None,
        "--seeds": seeds or None,
        "--keep": keep,
    }
    given = [
        part for name, value in options.items() if value is not None for part in (name, str(value))
    ]
    command = [sys.executable, "-m", "lab", *given, *(["--kafka"] if kafka else [])]
    paths = [str(TESTS), os.environ.get("PYTHONPATH", "")]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    raise typer.Exit(_until_ended(command, env))


def _until_ended(command: list[str], env: dict[str, str]) -> int:
    # Ctrl-C reaches the lab too, being of our group; it needs the time to clean up.
    child = subprocess.Popen(command, env=env)
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:
            continue
