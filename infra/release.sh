#!/usr/bin/env bash
# Builds what a release consists of, the same bytes each time:
#
#   dist/ecr-push-ARCH.zip, github-webhook-ARCH.zip, drift-check-ARCH.zip   for AWS Lambda; ARCH: arm64, x86_64
#   dist/slipway-TARGET.tar.gz                                              the command line
#   dist/template.yaml                                                      for CloudFormation
#   dist/NAME.cdx.json                                                      what is linked into each (CycloneDX)
#   dist/SHA256SUMS
#
# Usage: infra/release.sh [TARGET...]; without, both of Linux. Other targets than the machine's own are built by
# cargo-zigbuild (`pip install cargo-zigbuild ziglang`), and so is its own where that is there: the C library is then
# that of 2018 (glibc 2.28), and the same on every machine. On macOS its own targets are built for the command line.
set -euo pipefail
cd "$(dirname "$0")/.."

GLIBC=2.28
FUNCTIONS=(ecr-push github-webhook drift-check)
HOST=$(rustc -vV | sed -n 's/^host: //p')
[ $# -gt 0 ] || set -- aarch64-unknown-linux-gnu x86_64-unknown-linux-gnu

# The time of the commit, not of the build; no path of this machine; nothing that differs between two builds.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH CARGO_INCREMENTAL=0 CARGO_TERM_COLOR=never
CARGO_FOLDER=${CARGO_HOME:-$HOME/.cargo}
export RUSTFLAGS="--remap-path-prefix=$PWD=/slipway --remap-path-prefix=$CARGO_FOLDER=/cargo"
export CFLAGS="-ffile-prefix-map=$PWD=/slipway -ffile-prefix-map=$CARGO_FOLDER=/cargo"

OUT=${SLIPWAY_DIST:-dist}
rm -rf "$OUT"
mkdir -p "$OUT"
for TARGET in "$@"; do
  BUILD=(build)
  TRIPLE=$TARGET
  if [[ $TARGET == *-linux-gnu ]] && command -v cargo-zigbuild >/dev/null; then
    BUILD=(zigbuild)
    TRIPLE=$TARGET.$GLIBC
  elif [ "$TARGET" != "$HOST" ] && [[ $HOST != *-apple-darwin || $TARGET != *-apple-darwin ]]; then
    echo "$TARGET can't be built on $HOST without cargo-zigbuild: pip install cargo-zigbuild ziglang" >&2
    exit 1
  fi
  PACKAGES=(-p slipway-cli)
  if [[ $TARGET == *-linux-gnu ]]; then
    for NAME in "${FUNCTIONS[@]}"; do PACKAGES+=(-p "slipway-$NAME"); done
  fi
  cargo "${BUILD[@]}" --release --locked --target "$TRIPLE" "${PACKAGES[@]}"
  BINARIES=${CARGO_TARGET_DIR:-target}/$TARGET/release
  if [[ $TARGET == *-linux-gnu ]]; then
    case $TARGET in aarch64-*) ARCH=arm64 ;; *) ARCH=${TARGET%%-*} ;; esac
    for NAME in "${FUNCTIONS[@]}"; do
      python3 infra/pack.py zip "$OUT/$NAME-$ARCH.zip" "$BINARIES/$NAME" bootstrap
    done
  fi
  python3 infra/pack.py tar "$OUT/slipway-$TARGET.tar.gz" "$BINARIES/slipway" slipway
done
cp infra/template.yaml "$OUT/template.yaml"
for NAME in "${FUNCTIONS[@]}" cli; do
  python3 infra/pack.py sbom "$OUT/${NAME/#cli/slipway}.cdx.json" "slipway-$NAME" "$@"
done
# On macOS there are no functions, and so no zips.
(cd "$OUT" && shopt -s nullglob && LC_ALL=C && sha256sum -- *.zip *.tar.gz *.json *.yaml >SHA256SUMS)
cat "$OUT/SHA256SUMS"
