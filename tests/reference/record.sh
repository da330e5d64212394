#!/usr/bin/env bash
# Records anew what the real tools make of our cases: each SUITE/expected.jsonl (README.md). Needs Go and its module proxy. Run it from anywhere.
set -euo pipefail
cd "$(dirname "$0")"
export GOTOOLCHAIN=go1.26.8 GOFLAGS=-mod=readonly TZ=UTC
for module in helm argo sops jsonnet; do
  (cd "record/$module" && go test -count=1 .)
done
(cd gotmpl && go run . <cases.jsonl >expected.jsonl.new && mv expected.jsonl.new expected.jsonl)
