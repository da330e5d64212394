#!/usr/bin/env bash
# Encrypts the inputs below `plain` by the real SOPS, for the identity in keys.txt: `encrypt.sh` once made `cases`, whose
# nonces and times are others in each run. `record.sh` asks SOPS what is in them.
set -euo pipefail
cd "$(dirname "$0")"
ours=$(grep -o 'age1.*' keys.txt)
others=$(grep -o 'age1.*' other.txt)
encrypt() { # name, input, flags
  local name=$1 input=$2
  shift 2
  sops encrypt --age "$ours" "$@" "plain/$input" >"cases/$name"
}
# What has no flag of its own.
by_rule() { # name, input, fields of a rule
  local config
  config=$(mktemp)
  printf '{creation_rules: [{%s, age: %s}]}\n' "$3" "$ours" >"$config"
  sops --config "$config" encrypt "plain/$2" >"cases/$1"
  rm "$config"
}
encrypt secret.yaml secret.yaml --encrypted-regex '^(data|stringData)$'
encrypt values.yaml values.yaml
encrypt documents.yaml documents.yaml --encrypted-regex '^(data|stringData)$'
encrypt rest-is-plain.yaml rest-is-plain.yaml --encrypted-regex '^data$'
by_rule only-encrypted-counts.yaml rest-is-plain.yaml 'encrypted_regex: "^data$", mac_only_encrypted: true'
encrypt unencrypted-suffix.yaml suffix.yaml
encrypt encrypted-suffix.yaml suffix.yaml --encrypted-suffix _secret
encrypt unencrypted-regex.yaml suffix.yaml --unencrypted-regex '_un'
by_rule comments-decide.yaml comment.yaml 'encrypted_comment_regex: "sops:enc"'
by_rule comments-except.yaml comment.yaml 'unencrypted_comment_regex: "sops:enc"'
encrypt data.json data.json
encrypt only-data.json only-data.json
encrypt text.txt text.txt
encrypt bytes.bin bytes.bin
encrypt app.env app.env
encrypt app.ini app.ini
sops encrypt --age "$others,$ours" plain/secret.yaml >cases/two-recipients.yaml
sops encrypt --age "$others" plain/secret.yaml >cases/for-others.yaml
# What somebody changed without SOPS.
sed 's/name: db/name: other/' cases/secret.yaml >cases/changed-name.yaml
sed '0,/user: ENC/s/user: ENC/admin: ENC/' cases/secret.yaml >cases/moved-value.yaml
sed 's/immutable: true/immutable: true\nadded: true/' cases/secret.yaml >cases/added-field.yaml
sed 's/name: c$/name: other/' cases/only-encrypted-counts.yaml >cases/changed-plain.yaml
grep -v 'empty:' cases/secret.yaml >cases/removed-empty.yaml
sed -E 's/(key: ENC\[AES256_GCM,data:)./\1A/' cases/secret.yaml >cases/changed-byte.yaml
sed -E 's/lastmodified: "20/lastmodified: "19/' cases/secret.yaml >cases/changed-time.yaml
sed -E '/^    mac:/d' cases/secret.yaml >cases/no-mac.yaml
# By which a test makes a file for a key of KMS.
sed -n '/BEGIN AGE/,/END AGE/p' cases/documents.yaml | head -n "$(grep -n -m1 'END AGE' <(sed -n '/BEGIN AGE/,/END AGE/p' cases/documents.yaml) | cut -d: -f1)" |
  sed 's/^ *//' | age --decrypt -i keys.txt | od -An -v -tx1 | tr -d ' \n' >data-key-of-documents.hex
