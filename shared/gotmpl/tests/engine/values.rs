//! Values: sharing, types, natives.

use std::rc::Rc;

use serde_json::json;
use slipway_gotmpl::{
    Budget, FuncMap, Function, Kind, Limits, List, Map, MapType, MissingKey, Native, Numbers, Set, Str, Type, Value,
    sprintf,
};

use crate::render;

#[test]
fn a_map_changed_through_one_name_is_changed_for_all() {
    let dot = Value::from_json(&json!({ "a": { "b": 1 } }), Numbers::Float);
    assert_eq!(render(r#"{{$x := .a}}{{$_ := set $x "b" 2}}{{.a.b}}"#, &dot).unwrap(), "2");
    assert_eq!(dot.to_json().unwrap(), json!({ "a": { "b": 2 } }));
}

#[test]
fn strings_are_bytes() {
    let cut = Value::Str(Str::from(&"é".as_bytes()[..1]));
    assert_eq!(render("{{len .}} {{printf \"%q %x\" . .}}", &cut).unwrap(), r#"1 "\xc3" c3"#);
    let Value::Str(cut) = cut else { panic!("a string") };
    assert_eq!((cut.as_str(), cut.to_text().as_ref()), (None, "\u{fffd}"));
}

#[test]
fn static_types_decide_what_a_function_takes() {
    static TAKES_LIST: &[Function] =
        &[Function::new("size", &[slipway_gotmpl::LIST], |_, args| Ok(args[0].as_list().unwrap().len().into()))];
    let run = |dot: Value| {
        let mut set = Set::new(Rc::new(FuncMap::new(&[TAKES_LIST])), MissingKey::Zero);
        set.parse("t", "{{size .}}").unwrap();
        let out =
            Rc::new(set).execute("t", dot, &Budget::new(slipway_budget::Budget::default(), Limits::default()), &());
        out.map(|out| String::from_utf8(out).unwrap()).map_err(|error| error.to_string())
    };
    assert_eq!(run(vec![Value::Nil].into()).unwrap(), "1");
    assert_eq!(run(Value::Nil).unwrap(), "0");
    assert_eq!(
        run(List::typed(&Type::String, Vec::new()).into()).unwrap_err(),
        r#"template: t:1:7: executing "t" at <.>: wrong type for value; expected []interface {}; got []string"#
    );
}

/// A struct with a field, methods and a text.
struct Version(&'static str);

static METHODS: &[Function] = &[Function::new("Suffixed", &[Type::String], |_, args| {
    let version = args[0].downcast::<Version>().unwrap();
    Ok(format!("{}-{}", version.0, args[1].as_str().unwrap()).into())
})];

impl Native for Version {
    fn type_name(&self) -> &'static str {
        "*semver.Version"
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        vec![("Text", self.0.into())]
    }

    fn method(&self, name: &str) -> Option<&'static Function> {
        METHODS.iter().find(|method| method.name == name)
    }

    fn text(&self) -> Option<Str> {
        Some(self.0.into())
    }
}

#[test]
fn natives_have_fields_methods_and_a_text() {
    let dot: Value = [("v", Value::native(Version("1.2")))].into_iter().collect::<Map>().into();
    assert_eq!(
        render(r#"{{.v}} {{.v.Text}} {{.v.Suffixed "rc"}} {{"x" | .v.Suffixed}}"#, &dot).unwrap(),
        "1.2 1.2 1.2-rc 1.2-x"
    );
    assert_eq!(render(r#"{{printf "%T %d" .v .v}}"#, &dot).unwrap(), "*semver.Version &{%!d(string=1.2)}");
    assert_eq!(
        render("{{.v.Missing}}", &dot).unwrap_err().to_string(),
        r#"template: t.yaml:1:4: executing "t.yaml" at <.v.Missing>: can't evaluate field Missing in type interface {}"#
    );
    assert_eq!(
        render("{{.v.Suffixed}}", &dot).unwrap_err().to_string(),
        r#"template: t.yaml:1:4: executing "t.yaml" at <.v.Suffixed>: wrong number of args for Suffixed: want 1 got 0"#
    );
    assert_eq!(dot.as_map().unwrap().get("v").unwrap().kind(), Kind::Ptr);
}

#[test]
fn a_named_map_has_methods_before_keys() {
    static VALUES: MapType = MapType {
        name: Some("common.Values"),
        elem: Type::Any,
        methods: &[Function::new("Count", &[], |_, args| Ok(args[0].as_map().unwrap().len().into()))],
    };
    let map = Map::typed(&VALUES, [(Str::from("Count"), Value::Nil)].into_iter().collect());
    assert_eq!(render("{{.Count}} {{printf \"%T\" .}}", &map.into()).unwrap(), "1 common.Values");
}

#[test]
fn nil_slices_print_empty_and_are_null() {
    let nil = Value::List(List::nil(&Type::String));
    assert_eq!(render("{{.}} {{len .}} {{eq . nil}}", &nil).unwrap(), "[] 0 true");
    assert_eq!(nil.to_json().unwrap(), json!(null));
}

#[test]
fn numbers_from_json_are_floats_unless_asked_otherwise() {
    let data = json!({ "n": 1_000_000, "f": 1.5 });
    let shown = |numbers| {
        sprintf(
            &Budget::new(slipway_budget::Budget::default(), Limits::default()),
            b"%v",
            &[Value::from_json(&data, numbers)],
        )
        .unwrap()
    };
    assert_eq!(shown(Numbers::Float), "map[f:1.5 n:1e+06]");
    assert_eq!(shown(Numbers::Int64), "map[f:1.5 n:1000000]");
}
