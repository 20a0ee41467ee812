"""Every event ever told by a released version, as its bytes were stored."""

from pathlib import Path

CORPUS = Path(__file__).parent / "contracts" / "corpus"


def stories() -> list[bytes]:
    return [
        line
        for file in sorted(CORPUS.glob("*.jsonl"))
        for line in file.read_bytes().splitlines()
        if line
    ]
