//! The long form of errors, word for word.

use serde_json::json;
use slipway_gotmpl::{Numbers, Value};

use crate::render_within;

fn long(files: &[(&str, &str)]) -> String {
    let dot = json!({ "Values": { "image": { "repository": "shop/web", "tag": "1.2.3" }, "port": 80 } });
    format!("{:#}", render_within(&crate::budget(), files, &Value::from_json(&dot, Numbers::Float)).unwrap_err())
}

#[test]
fn an_unknown_function_names_its_near_miss() {
    let text = long(&[("web/templates/web.yaml", "a: 1\nname: {{ .Values.image.tag | uper }}\nb: 2\n")]);
    assert_eq!(
        text,
        r#"template: web/templates/web.yaml:2: function "uper" not defined
  --> web/templates/web.yaml:2:30
  1 | a: 1
  2 | name: {{ .Values.image.tag | uper }}
    |                              ^^^^
  3 | b: 2
  hint: did you mean the function `upper`?"#
    );
}

#[test]
fn an_unset_value_names_its_siblings() {
    let text = long(&[("web.yaml", "{{ .Values.imgae.tag }}")]);
    assert_eq!(
        text,
        r#"template: web.yaml:1:10: executing "web.yaml" at <.Values.imgae.tag>: nil pointer evaluating interface {}.tag
  --> web.yaml:1:4
  1 | {{ .Values.imgae.tag }}
    |    ^^^^^^^^^^^^^^^^^
  hint: `.Values.imgae` is not set; did you mean `.Values.image`?"#
    );
    let text = long(&[("web.yaml", "{{ .Values.service.port }}")]);
    assert!(text.ends_with("hint: `.Values.service` is not set; beside it there is image, port"), "{text}");
}

#[test]
fn an_include_shows_the_way_to_the_failure() {
    let text = long(&[
        ("web.yaml", "metadata:\n{{ include \"labels\" . }}\n"),
        ("_helpers.tpl", "{{- define \"labels\" -}}\nname: {{ fail \"no name\" }}\n{{- end }}\n"),
    ]);
    assert_eq!(
        text,
        concat!(
            r#"template: web.yaml:2:3: executing "web.yaml" at <include "labels" .>: error calling include: "#,
            r#"template: _helpers.tpl:2:9: executing "labels" at <fail "no name">: error calling fail: no name
  --> _helpers.tpl:2:10
  1 | {{- define "labels" -}}
  2 | name: {{ fail "no name" }}
    |          ^^^^^^^^^^^^^^
  3 | {{- end }}
  included from web.yaml:2:4
  1 | metadata:
  2 | {{ include "labels" . }}
    |    ^^^^^^^^^^^^^^^^^^"#
        )
    );
}

#[test]
fn an_unknown_template_names_its_near_miss() {
    let text = long(&[("web.yaml", "{{ include \"lables\" . }}"), ("_h.tpl", "{{define \"labels\"}}x{{end}}")]);
    assert!(text.ends_with("hint: did you mean the template `labels`?"), "{text}");
    let text = long(&[("web.yaml", "{{ template \"lables\" . }}"), ("_h.tpl", "{{define \"labels\"}}x{{end}}")]);
    assert!(text.ends_with("hint: did you mean the template `labels`?"), "{text}");
}

#[test]
fn a_mistake_in_the_syntax_is_marked() {
    let text = long(&[("web.yaml", "a\n{{ if .Values.port }}\nb\n")]);
    assert_eq!(
        text,
        r"template: web.yaml:4: unexpected EOF
  --> web.yaml:4:1
  3 | b"
    );
}
