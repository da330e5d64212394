"""Packs a release so that the same input gives the same bytes, and lists what is linked into it.

Usage: pack.py zip|tar OUT FILE NAME       FILE as NAME in an archive, executable, of the time SOURCE_DATE_EPOCH
       pack.py sbom OUT PACKAGE TARGET...  the crates of PACKAGE on any TARGET, as CycloneDX 1.5 (cargo metadata, Cargo.lock)
"""

import datetime
import gzip
import io
import json
import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile

EPOCH = int(os.environ["SOURCE_DATE_EPOCH"])


def pack_zip(out, file, name):
    time = datetime.datetime.fromtimestamp(EPOCH, datetime.timezone.utc)
    entry = zipfile.ZipInfo(name, time.timetuple()[:6])
    entry.compress_type = zipfile.ZIP_DEFLATED
    # Unix, so that the mode counts; Lambda starts what is executable.
    entry.create_system = 3
    entry.external_attr = 0o100755 << 16
    with open(file, "rb") as source, zipfile.ZipFile(out, "w") as archive:
        archive.writestr(entry, source.read(), compresslevel=9)


def pack_tar(out, file, name):
    entry = tarfile.TarInfo(name)
    entry.mode, entry.mtime, entry.size = 0o755, EPOCH, os.path.getsize(file)
    plain = io.BytesIO()
    with open(file, "rb") as source, tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        archive.addfile(entry, source)
    # Neither name nor time of the archive itself.
    with open(out, "wb") as target:
        target.write(gzip.compress(plain.getvalue(), compresslevel=9, mtime=0))


def linked(package, target):
    """The packages by id that are linked into PACKAGE on TARGET, with what each depends on."""
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", target]
    metadata = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    packages = {one["id"]: one for one in metadata["packages"]}
    nodes = {one["id"]: one for one in metadata["resolve"]["nodes"]}
    root = next(one["id"] for one in packages.values() if one["name"] == package)
    found, todo = {}, [root]
    while todo:
        current = todo.pop()
        if current in found:
            continue
        # Neither what only tests need, nor what only builds need.
        found[current] = [one["pkg"] for one in nodes[current]["deps"] if any(kind["kind"] is None for kind in one["dep_kinds"])]
        todo.extend(found[current])
    return root, packages, found


def pack_sbom(out, package, *targets):
    with open("Cargo.lock", "rb") as file:
        lock = {(one["name"], one["version"]): one.get("checksum") for one in tomllib.load(file)["package"]}
    packages, needs = {}, {}
    for target in targets:
        root, known, found = linked(package, target)
        packages |= {one: known[one] for one in found}
        for one, others in found.items():
            needs.setdefault(one, set()).update(others)

    def reference(one):
        return f"pkg:cargo/{packages[one]['name']}@{packages[one]['version']}"

    def component(one):
        about = packages[one]
        fields = {"type": "application" if one == root else "library", "bom-ref": reference(one), "name": about["name"],
                  "version": about["version"], "purl": reference(one)}
        if about.get("license"):
            # Crates of old write MIT/Apache-2.0.
            fields["licenses"] = [{"expression": about["license"].replace("/", " OR ")}]
        checksum = lock[(about["name"], about["version"])]
        if checksum:
            fields["hashes"] = [{"alg": "SHA-256", "content": checksum}]
        return fields

    others = sorted((one for one in packages if one != root), key=reference)
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": datetime.datetime.fromtimestamp(EPOCH, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": component(root),
        },
        "components": [component(one) for one in others],
        "dependencies": [{"ref": reference(one), "dependsOn": sorted(map(reference, needs[one]))} for one in [root, *others]],
    }
    with open(out, "w", encoding="utf-8") as file:
        json.dump(document, file, indent=1)
        file.write("\n")


def main():
    verb, *arguments = sys.argv[1:]
    {"zip": pack_zip, "tar": pack_tar, "sbom": pack_sbom}[verb](*arguments)


main()
