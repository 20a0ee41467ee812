"""Writes deploy/kubernetes/yaosu.yaml: the chart with its default values, for sites without Helm.

    python deploy/render_chart.py

It needs the package helm-python-sdk 0.2.2, which holds Helm itself and is large: install it into
an environment of its own. A test holds the file to the chart by the digest in its first line.
"""

import hashlib
from pathlib import Path

DEPLOY = Path(__file__).parent
CHART = DEPLOY / "chart"
RENDERED = DEPLOY / "kubernetes" / "yaosu.yaml"


def digest() -> str:
    """SHA-256 over the names and bytes of the chart's files."""
    found = hashlib.sha256()
    for file in sorted(path for path in CHART.rglob("*") if path.is_file()):
        found.update(file.relative_to(CHART).as_posix().encode() + b"\0" + file.read_bytes())
    return found.hexdigest()


def first_line() -> str:
    return f"# Rendered by deploy/render_chart.py from the chart with SHA-256 {digest()}.\n"


def main() -> None:
    from helm_python import Chart

    chart = Chart.load(CHART)
    chart.validate_schema({})
    templates = chart.render({}, name="yaosu", namespace="yaosu", is_install=True)
    documents = [
        text.strip().removeprefix("---").strip()
        for name, text in sorted(templates.items())
        if name.endswith(".yaml")
    ]
    RENDERED.write_text(first_line() + "\n---\n".join(documents) + "\n", "utf-8")


if __name__ == "__main__":
    main()
