//! Random values, time and the cluster come from the caller.

use std::collections::BTreeMap;

use serde_json::json;
use slipway_helm::{Lookup, Options, render};

use crate::{one, tree};

const RANDOM: &str = r#"
alpha: {{ randAlphaNum 12 }}
again: {{ randAlphaNum 12 }}
bytes: {{ randBytes 8 }}
number: {{ randInt 0 1000000 }}
uuid: {{ uuidv4 }}
shuffled: {{ shuffle "abcdefghijklmnop" }}
hash: {{ bcrypt "secret" }}
line: {{ htpasswd "user" "secret" }}
sealed: {{ encryptAES "key" "text" }}
key: {{ genPrivateKey "ed25519" | quote }}
ec: {{ genPrivateKey "ecdsa" | quote }}
{{- $ca := genCA "ca" 365 }}
{{- $cert := genSignedCert "web.shop" (list "10.0.0.1") (list "web.shop.svc") 365 $ca }}
ca: {{ $ca.Cert | quote }}
cert: {{ $cert.Cert | quote }}
certKey: {{ $cert.Key | quote }}
now: {{ now | date "2006-01-02" | quote }}
"#;

#[test]
fn two_renders_are_equal_and_another_seed_gives_another() {
    let options = Options { now: "2026-03-04T05:06:07Z".parse().unwrap(), ..Options::default() };
    let first = one(RANDOM, &options).unwrap();
    assert!(first.used_random && first.used_time && first.unrepeatable());
    assert_eq!(first.manifests, one(RANDOM, &options).unwrap().manifests);
    let value = &first.manifests[0].value;
    assert_ne!(value["alpha"], value["again"]);
    assert_eq!(value["now"], "2026-03-04");
    let other = one(RANDOM, &Options { seed: [7; 32], ..options }).unwrap();
    for key in ["alpha", "bytes", "uuid", "hash", "sealed", "key", "ec", "ca", "cert", "certKey"] {
        assert_ne!(other.manifests[0].value[key], value[key], "{key}");
    }
    let plain = one("a: {{ upper \"x\" }}", &Options::default()).unwrap();
    assert!(!plain.unrepeatable());
}

#[test]
fn a_change_elsewhere_keeps_a_password() {
    let secret = ("templates/secret.yaml", "a: {{ randAlphaNum 16 }}\n");
    let alone = render(&tree(&[secret]), "", &Options::default()).unwrap();
    let with_more =
        render(&tree(&[("templates/a.yaml", "b: {{ randAlphaNum 16 }}\n"), secret]), "", &Options::default()).unwrap();
    assert_eq!(alone.manifests[0].value, with_more.manifests[1].value);
}

#[test]
fn lookups_come_back_as_needs_and_take_answers() {
    let template =
        "a: {{ with lookup \"v1\" \"Secret\" \"shop\" \"web\" }}{{ .data.password }}{{ else }}none{{ end }}\n";
    let first = one(template, &Options::default()).unwrap();
    let need = Lookup {
        api_version: "v1".to_owned(),
        kind: "Secret".to_owned(),
        namespace: "shop".to_owned(),
        name: "web".to_owned(),
    };
    assert_eq!(first.needs.iter().collect::<Vec<_>>(), [&need]);
    assert_eq!(first.manifests[0].value["a"], "none");
    let lookups = BTreeMap::from([(need, json!({"data": {"password": "cGFzcw=="}}))]);
    let second = one(template, &Options { lookups, ..Options::default() }).unwrap();
    assert!(second.needs.is_empty());
    assert_eq!(second.manifests[0].value["a"], "cGFzcw==");
}
