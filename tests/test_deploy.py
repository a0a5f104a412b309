"""The files of docs/deploy/, checked against the schemas of the programs that read them."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from router.config.read import read_config

FOLDER = Path(__file__).parent.parent / "docs/deploy"
MANIFESTS = sorted((FOLDER / "kubernetes").glob("*.yaml"))
OLDEST_KUBERNETES = "1.30"


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


def read_manifest(name: str) -> dict[str, Any]:
    return read(FOLDER / f"kubernetes/{name}.yaml")


def test_the_compose_file_keeps_the_schema_of_compose() -> None:
    pytest.importorskip("check_jsonschema", reason="check-jsonschema is not installed")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", FOLDER / "compose.yaml"]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.stem)
def test_every_manifest_keeps_the_schema_of_the_oldest_and_the_latest_kubernetes(manifest: Path) -> None:
    checker = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    for version in (OLDEST_KUBERNETES, checker.latest_version()):
        checker.validate(read(manifest), version, strict=True)


def test_the_balancer_reads_its_file() -> None:
    program = shutil.which("haproxy")
    if program is None:
        pytest.skip("no haproxy on this machine")
    result = subprocess.run([program, "-c", "-f", FOLDER / "haproxy.cfg"], check=False, capture_output=True, text=True)
    # The names of the gateways exist only beside it, which is a warning.
    assert result.returncode == 0, result.stderr


def test_every_configuration_is_one_and_its_variables_are_set(tmp_path: Path) -> None:
    environments: dict[str, set[str]] = {
        (FOLDER / "router.toml").read_text(encoding="utf-8"): set(read(FOLDER / "compose.yaml")["x-gateway"]["environment"]),
        # The comment of the Deployment names what the Secret must have.
        read_manifest("config")["data"]["router.toml"]: {
            name
            for name in ("OPENAI_API_KEY", "TEAM_KEY", "PROMETHEUS_KEY", "REDIS_URL")
            if f"--from-literal={name}=" in (FOLDER / "kubernetes/deployment.yaml").read_text(encoding="utf-8")
        },
    }
    for text, variables in environments.items():
        file = tmp_path / "router.toml"
        file.write_text(text, encoding="utf-8")
        config = read_config(file)
        assert config.serving.state is not None
        needed = {endpoint.key_env for endpoint in config.endpoints.values()} | {key.env for key in config.keys.values()}
        assert needed | {config.serving.state.url_env} == variables


def test_every_manifest_names_the_deployment_and_its_pods() -> None:
    deployment = read_manifest("deployment")
    name, pods = deployment["metadata"]["name"], deployment["spec"]["template"]["metadata"]["labels"]
    assert {read(path)["metadata"]["name"] for path in MANIFESTS} == {name}
    assert read_manifest("autoscaler")["spec"]["scaleTargetRef"]["name"] == name
    selectors = [
        deployment["spec"]["selector"]["matchLabels"],
        read_manifest("service")["spec"]["selector"],
        read_manifest("disruption-budget")["spec"]["selector"]["matchLabels"],
        read_manifest("network-policy")["spec"]["podSelector"]["matchLabels"],
    ]
    assert selectors == [pods] * len(selectors)


def test_nothing_runs_as_root_or_writes_to_its_image() -> None:
    pod = read_manifest("deployment")["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert all(container["securityContext"]["readOnlyRootFilesystem"] for container in pod["containers"])
    assert all(service["read_only"] for service in read(FOLDER / "compose.yaml")["services"].values())
    assert "\nUSER 10001:10001\n" in (FOLDER / "Containerfile").read_text(encoding="utf-8")


def test_the_image_is_built_from_files_that_exist() -> None:
    lines = (FOLDER / "Containerfile").read_text(encoding="utf-8").splitlines()
    copied = [name for line in lines if line.startswith("COPY ") and "--from" not in line for name in line.split()[1:-1]]
    assert copied
    assert [name for name in copied if not (FOLDER.parents[1] / name).exists()] == []
