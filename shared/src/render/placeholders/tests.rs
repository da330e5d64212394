#![allow(clippy::needless_pass_by_value)] // `json!` reads better in place

use serde_json::json;

use super::*;

fn object(kind: &str, annotations: Value, fields: Value) -> Object {
    let metadata = json!({"name": "db", "annotations": annotations});
    let mut object = json!({"apiVersion": "v1", "kind": kind, "metadata": metadata});
    object.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    Object::from_value(object).unwrap()
}

fn secrets() -> SecretValues {
    let version = |path: &str, version: &str| SecretVersion { path: path.to_owned(), version: version.to_owned() };
    let values = json!({"user": "shop", "password": "s3cret", "port": 5432, "encoded": "czNjcmV0",
        "config": "{\"users\": [{\"name\": \"ann\"}], \"a.b\": {\"n\": 3}}",
        "yaml": "a: [1, two]\n", "two": "x\n y\n"});
    let values = values.as_object().unwrap().clone();
    let old = json!({"password": "before"}).as_object().unwrap().clone();
    [(version("shop/db", ""), values.clone()), (version("shop/db", "v1"), old), (version("other", ""), values)].into()
}

/// The field `f` of a Deployment with that value.
fn filled(value: Value) -> Result<Value, String> {
    let mut objects = [object("Deployment", json!({}), json!({"f": value}))];
    fill(&mut objects, &secrets()).map_err(|error| error.to_string())?;
    Ok(objects[0].get("f").unwrap().clone())
}

#[test]
fn placeholders_with_a_path_are_replaced_wherever_they_stand() {
    let text = "postgres://<path:shop/db#user>:<path:shop/db#password>@<host>:<path:shop/db#port | jsonParse>";
    for (value, expected) in [
        (json!("<path:shop/db#password>"), json!("s3cret")),
        (json!("<path:shop/db#password#v1>"), json!("before")),
        (json!([{"a": ["x<path:shop/db#user>y<z>"]}]), json!([{"a": ["xshopy<z>"]}])),
        (json!("<path:shop/db#port>"), json!(5432)),
        (json!("<path:shop/db#password | base64encode>"), json!("czNjcmV0")),
        (json!("<path:shop/db#encoded | base64decode>"), json!("s3cret")),
        (json!("<path:shop/db#config | jsonPath {.users[0].name}{':'}{.a\\.b.n}>"), json!("ann:3")),
        (json!("<path:shop/db#config | jsonPath {$['a.b']['n']} | jsonParse>"), json!(3)),
        (json!("<path:shop/db#config | jsonPath {.users[?(@.name==\"ann\")].name}>"), json!("ann")),
        (json!("<path:shop/db#config|jsonParse>"), json!({"users": [{"name": "ann"}], "a.b": {"n": 3}})),
        (json!("<path:shop/db#yaml | yamlParse>"), json!({"a": [1, "two"]})),
        (json!("<path:shop/db#two | indent 2>"), json!("x\n  y\n")),
        (json!("<path:shop/db#user | sha256sum>"), json!(hex::encode(<sha2::Sha256 as sha2::Digest>::digest("shop")))),
        (json!("no <placeholder>, <path:x>, a < b > c\n<\n>"), json!("no <placeholder>, <path:x>, a < b > c\n<\n>")),
    ] {
        assert_eq!(filled(value.clone()), Ok(expected), "{value}");
    }
    let error = filled(json!(text)).unwrap_err();
    assert!(error.ends_with("the modifier `jsonParse` needs a text, and the value is none"), "{error}");
}

#[test]
fn what_can_not_be_replaced_is_named_without_the_value() {
    for (value, problem) in [
        ("<path:shop/db#none>", "`shop/db` has no key `none`"),
        ("<path:unknown#a>", "`unknown` has no key `a`"),
        ("<path:shop/db#password | rot13>", "there is no modifier `rot13`"),
        ("<path:shop/db#password | jsonParse>", "the value is no JSON"),
        ("<path:shop/db#password | base64decode>", "the value is no text in base64"),
        ("<path:shop/db#config | jsonPath {.users[}>", "can't be read"),
        ("<path:shop/db#config | jsonPath {.users[7]}>", "nothing at `[7]`"),
        ("<path:shop/db#two | indent 100000000>", "too wide"),
        ("<path:shop/db#user | base64encode now>", "takes no argument"),
    ] {
        let error = filled(json!(value)).unwrap_err();
        assert!(error.starts_with("Deployment/db: placeholder `<path:") && error.contains(problem), "{error}");
        assert!(!error.contains("s3cret"), "{error}");
    }
}

#[test]
fn secrets_may_have_placeholders_in_base64_and_by_annotation() {
    let at = json!({PATH: "shop/db", VERSION: ""});
    let url = STANDARD.encode("pg://<user>:<password>@db");
    let data = json!({"data": {"url": url, "plain": STANDARD.encode("<b")}, "stringData": {"user": "<user>"}});
    let mut objects = [
        object("Secret", at.clone(), data),
        object("ConfigMap", at.clone(), json!({"data": {"port": "<port>", "other": "<path:other#user>"}})),
        object(
            "Secret",
            json!({PATH: "shop/db", REMOVE_MISSING: "true"}),
            json!({"stringData": {"a": "<none>", "b": "<user>"}}),
        ),
        object("Secret", json!({PATH: "shop/db", IGNORE: "true"}), json!({"stringData": {"a": "<user>"}})),
    ];
    let paths: Vec<String> = needed(&objects).into_iter().map(|secret| secret.path).collect();
    assert_eq!(paths, ["other", "shop/db"]);
    let secret = fill(&mut objects, &secrets()).unwrap();
    assert_eq!(objects[0].get("data").unwrap()["url"], STANDARD.encode("pg://shop:s3cret@db"));
    assert_eq!(objects[0].get("data").unwrap()["plain"], STANDARD.encode("<b"));
    assert_eq!(objects[0].get("stringData").unwrap(), &json!({"user": "shop"}));
    assert_eq!(objects[1].get("data").unwrap(), &json!({"port": "5432", "other": "shop"}));
    assert_eq!(objects[2].get("stringData").unwrap(), &json!({"b": "shop"}));
    assert_eq!(objects[3].get("stringData").unwrap(), &json!({"a": "<user>"}));
    assert!(["shop", "s3cret", "5432"].iter().all(|value| secret.contains(*value)), "{secret:?}");

    let mut missing = [object("Secret", at, json!({"stringData": {"a": "<none>"}}))];
    assert!(fill(&mut missing, &secrets()).unwrap_err().problem.contains("no key `none`"));
}
