//! Hostile templates end within their bounds, with an error that names the bound, the template and the line.

use slipway_budget::Exceeded;
use slipway_gotmpl::{Budget, Limit, Limits, Value, on_stack};

use crate::{render, render_within};

fn bound(template: &str) -> (Limit, String) {
    let error = render(template, &Value::Nil).unwrap_err();
    (error.limit().unwrap_or_else(|| panic!("no bound: {error}")), error.to_string())
}

fn within(limits: slipway_budget::Limits) -> Budget {
    Budget::new(slipway_budget::Budget::new(limits), Limits::default())
}

#[test]
fn endless_recursion_ends() {
    for template in [
        r#"{{define "x"}}{{template "x"}}{{end}}{{template "x"}}"#,
        r#"{{define "x"}}{{include "x" .}}{{end}}{{include "x" .}}"#,
        concat!(
            r#"{{define "x"}}{{if true}}{{range 1}}{{with 1}}"#,
            r#"{{print (print (include "x" .))}}{{end}}{{end}}{{end}}{{end}}{{include "x" .}}"#
        ),
    ] {
        let (limit, text) = bound(template);
        assert!(matches!(limit, Limit::Depth(_) | Limit::Stack(_)), "{limit}");
        assert!(text.starts_with("template: t.yaml:1:"), "{text:.200}");
    }
    let (limit, _) = bound(r#"{{define "t"}}{{tpl "{{template \"t\" .}}" .}}{{end}}{{template "t" .}}"#);
    assert!(matches!(limit, Limit::Depth(_) | Limit::Stack(_)), "{limit}");
}

#[test]
fn a_large_stack_takes_a_thousand_includes() {
    let chain = concat!(
        r#"{{define "x"}}{{if lt (len .) 1000}}{{with .}}{{include "x" (print . "x")}}{{end}}{{end}}{{end}}"#,
        r#"{{include "x" "x"}}"#
    );
    let result = on_stack(256 << 20, || {
        let limits = Limits { stack: 255 << 20, ..Limits::default() };
        render_within(&Budget::new(slipway_budget::Budget::default(), limits), &[("t.yaml", chain)], &Value::Nil)
    })
    .unwrap();
    assert_eq!(result.unwrap(), "");
}

#[test]
fn loops_cost_steps() {
    for template in [
        "{{range 1000000000}}{{end}}",
        "{{range $i := 100000}}{{range 100000}}{{$i}}{{end}}{{end}}",
        "{{$x := 1}}{{range 1000000000}}{{$x = .}}{{end}}",
    ] {
        let limits = slipway_budget::Limits { steps: 100_000, ..slipway_budget::Limits::default() };
        let error = render_within(&within(limits), &[("t.yaml", template)], &Value::Nil).unwrap_err();
        assert_eq!(error.limit(), Some(Limit::Render(Exceeded::Steps(100_000))));
        assert!(error.to_string().contains("exceeded its budget of 100000 steps"), "{error}");
    }
}

#[test]
fn output_is_bounded() {
    for template in [
        r#"{{range 1000000}}{{printf "%1000000d" 1}}{{end}}"#,
        r#"{{$s := "0123456789"}}{{range 40}}{{$s = print $s $s}}{{end}}"#,
        r"{{$l := list 1}}{{range 60}}{{$l = list $l $l}}{{end}}{{$l}}",
        r#"{{$s := "0123456789"}}{{range 40}}{{$s = html $s $s}}{{end}}"#,
    ] {
        let limits = slipway_budget::Limits { bytes: 1 << 20, ..slipway_budget::Limits::default() };
        let error = render_within(&within(limits), &[("t.yaml", template)], &Value::Nil).unwrap_err();
        assert_eq!(error.limit(), Some(Limit::Render(Exceeded::Bytes(1 << 20))), "{error}");
    }
}

#[test]
fn nesting_in_the_text_is_bounded() {
    for template in ["(".repeat(100_000), format!("{}1{}", "(".repeat(5_000), ")".repeat(5_000))] {
        let (limit, text) = bound(&format!("\n{{{{{template}}}}}"));
        assert!(matches!(limit, Limit::Nesting(_)), "{limit}");
        assert!(text.starts_with("template: t.yaml:2: max expression depth exceeded"), "{text}");
    }
    let (limit, _) = bound(&"{{if 1}}".repeat(100_000));
    assert!(matches!(limit, Limit::Nesting(_)), "{limit}");
    let (limit, text) =
        bound(&format!("\n{}", (0..2_000).map(|n| format!("{{{{$a{n} := 1}}}}")).collect::<Vec<_>>().concat()));
    assert_eq!(limit, Limit::Variables(1_000));
    assert!(text.starts_with("template: t.yaml:2: exceeded the bound of 1000 variables in one scope"), "{text}");
    let (limit, _) = bound(&format!("{{{{if 0}}}}{}", "{{else if 0}}".repeat(100_000)));
    assert!(matches!(limit, Limit::Nesting(_)), "{limit}");
    let chain = format!("{{{{if 0}}}}{}{{{{end}}}}", "{{else if 0}}".repeat(300));
    assert_eq!(render(&chain, &Value::Nil).unwrap(), "");
}

#[test]
fn values_nested_without_end_neither_print_nor_break_the_stack() {
    let cycle = "{{$d := set .d \"self\" .d}}{{$d}}";
    let dot: Value =
        [("d", Value::Map(slipway_gotmpl::Map::new()))].into_iter().collect::<slipway_gotmpl::Map>().into();
    let error = render(cycle, &dot).unwrap_err();
    assert!(matches!(error.limit(), Some(Limit::Stack(_))), "{error}");
    assert!(dot.to_json().is_err());
    // The end of a list in a list, 100,000 times over.
    assert_eq!(render("{{$l := list}}{{range 100000}}{{$l = list $l}}{{end}}done", &Value::Nil).unwrap(), "done");
    dot.as_map().unwrap().get("d").unwrap().as_map().unwrap().remove("self");
}
