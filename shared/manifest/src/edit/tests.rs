use super::*;

fn tag(name: &str, tag: &str) -> Image {
    Image { name: name.into(), new_tag: Some(tag.into()), ..Image::default() }
}

#[track_caller]
fn edited(text: &str, image: &Image) -> String {
    set_image(text, image).unwrap().unwrap()
}

#[test]
fn only_the_tag_changes() {
    for (before, after) in [
        ("images:\n- name: a\n  newTag: v1 # c\n", "images:\n- name: a\n  newTag: v2 # c\n"),
        ("images:\r\n  - newTag: 'v1'\r\n    name: a\r\n", "images:\r\n  - newTag: 'v2'\r\n    name: a\r\n"),
        ("images: [{name: a, newTag: \"v1\"}, {name: b}]", "images: [{name: a, newTag: \"v2\"}, {name: b}]"),
        ("images:\n- name: a\n  newTag:\n- name: b", "images:\n- name: a\n  newTag: v2\n- name: b"),
        ("images:\n- name: a # c\n# d\n- name: b\n", "images:\n- name: a # c\n  newTag: v2\n# d\n- name: b\n"),
        ("images:\n-   name: a\n", "images:\n-   name: a\n    newTag: v2\n"),
        ("images: [{name: a}]\n", "images: [{name: a, newTag: v2}]\n"),
        ("{\"images\": [{\"name\": \"a\"}]}", "{\"images\": [{\"name\": \"a\", \"newTag\": \"v2\"}]}"),
        ("images:\n- name: a\n  newTag: &t v1\n", "images:\n- name: a\n  newTag: &t v2\n"),
        ("x: &t v1\nimages:\n- name: a\n  newTag: *t\n", "x: &t v1\nimages:\n- name: a\n  newTag: v2\n"),
        ("images:\n- name: a\n  newTag: >-\n    v1\n", "images:\n- name: a\n  newTag: v2\n"),
        ("images:\n- name: a\n  newTag: |\n    v1\n\n# c\nx: 1\n", "images:\n- name: a\n  newTag: v2\n\n# c\nx: 1\n"),
        ("\u{feff}images:\n- name: a\n  newTag: v1\n", "\u{feff}images:\n- name: a\n  newTag: v2\n"),
    ] {
        assert_eq!(edited(before, &tag("a", "v2")), after, "{before:?}");
        assert_eq!(set_image(after, &tag("a", "v2")), Ok(None));
    }
}

#[test]
fn entries_and_lists_are_added_in_the_file_s_style() {
    for (before, after) in [
        ("images:\n- name: b\n", "images:\n- name: b\n- name: a\n  newTag: v2\n"),
        ("images:\n  - name: b # c\n\nx: 1\n", "images:\n  - name: b # c\n  - name: a\n    newTag: v2\n\nx: 1\n"),
        ("images: []\nx: 1\n", "images: [{name: a, newTag: v2}]\nx: 1\n"),
        ("images: [{name: b}]\n", "images: [{name: b}, {name: a, newTag: v2}]\n"),
        ("images:\nresources:\n  - x\n", "images:\n  - name: a\n    newTag: v2\nresources:\n  - x\n"),
        ("resources:\n- x\n# end\n", "resources:\n- x\n# end\nimages:\n- name: a\n  newTag: v2\n"),
        ("resources:\n  - x", "resources:\n  - x\nimages:\n  - name: a\n    newTag: v2"),
        ("resources:\r\n- x\r\n", "resources:\r\n- x\r\nimages:\r\n- name: a\r\n  newTag: v2\r\n"),
        ("---\nresources:\n- x\n...\n", "---\nresources:\n- x\nimages:\n- name: a\n  newTag: v2\n...\n"),
        ("a: |\n  x", "images:\n- name: a\n  newTag: v2\na: |\n  x"),
        ("{resources: [x]}\n", "{resources: [x], images: [{name: a, newTag: v2}]}\n"),
        // JSON stays JSON, an empty file of it, too.
        ("{\"resources\": [\"x\"]}", "{\"resources\": [\"x\"], \"images\": [{\"name\": \"a\", \"newTag\": \"v2\"}]}"),
        ("{\"images\": []}", "{\"images\": [{\"name\": \"a\", \"newTag\": \"v2\"}]}"),
        ("{}\n", "{\"images\": [{\"name\": \"a\", \"newTag\": \"v2\"}]}\n"),
        // A line that is added ends as its neighbour does.
        ("resources:\r\n- a.yaml\nimages:\n- name: a\n", "resources:\r\n- a.yaml\nimages:\n- name: a\n  newTag: v2\n"),
        ("x: 1\nimages:\r\n- name: a\r\n", "x: 1\nimages:\r\n- name: a\r\n  newTag: v2\r\n"),
    ] {
        assert_eq!(edited(before, &tag("a", "v2")), after, "{before:?}");
    }
}

#[test]
fn fields_that_the_image_does_not_have_go() {
    let digest = "sha256:0123";
    for (before, after) in [
        ("images:\n- name: a\n  digest: sha256:0\n  newTag: v1\n", "images:\n- name: a\n  newTag: v2\n"),
        ("images:\n- digest: sha256:0\n  name: a\n", "images:\n- name: a\n  newTag: v2\n"),
        ("images:\n- digest: |-\n    sha256:0\n  name: a\n", "images:\n- name: a\n  newTag: v2\n"),
        ("images:\n- name: a\n  newTag: v1\n  newName: b", "images:\n- name: a\n  newTag: v2"),
        ("images: [{name: a, newName: b, newTag: v1}]", "images: [{name: a, newTag: v2}]"),
        ("images: [{name: a, newTag: v1, newName: b}]", "images: [{name: a, newTag: v2}]"),
    ] {
        assert_eq!(edited(before, &tag("a", "v2")), after, "{before:?}");
    }
    let image =
        Image { name: "a".into(), new_name: Some("r.io:5000/b".into()), new_tag: None, digest: Some(digest.into()) };
    assert_eq!(
        edited("images:\n- name: a\n  newTag: v1\n", &image),
        "images:\n- name: a\n  newName: r.io:5000/b\n  digest: sha256:0123\n"
    );
}

#[test]
fn tags_that_read_as_something_else_are_quoted() {
    for odd in [
        "1.10",
        "0777",
        "on",
        "1e3",
        "~",
        "null",
        "2023-09-24",
        "12:30",
        "1_0",
        "0x1f",
        ".5",
        "-x",
        "a b",
        "a: b",
        "#x",
        "",
    ] {
        let text = edited("images:\n- name: a\n  newTag: v1\n", &tag("a", odd));
        assert_eq!(text, format!("images:\n- name: a\n  newTag: \"{odd}\"\n"));
    }
    for plain in ["1.2.3", "v1", "user01-20230924033608", "1.2.0-rc.1", "latest", "_x", "20230924a"] {
        let text = edited("images:\n- name: a\n  newTag: v0\n", &tag("a", plain));
        assert_eq!(text, format!("images:\n- name: a\n  newTag: {plain}\n"));
    }
    // Kustomize refuses an unquoted number where a text belongs, an integer, too.
    assert!(set_image("images:\n- name: a\n  newTag: 1.10\n", &tag("a", "1.10")).unwrap().is_some());
    assert!(set_image("images:\n- name: a\n  newTag: 0777\n", &tag("a", "511")).unwrap().is_some());
    assert_eq!(
        edited("images:\n- name: a\n  newTag: 1234567\n", &tag("a", "1234567")),
        "images:\n- name: a\n  newTag: \"1234567\"\n"
    );
    // A tag can't leave its scalar (attack 21).
    let evil = "v1\"\nresources: [evil]\n#";
    let text = edited("images:\n- name: a\n  newTag: 'v1'\n", &tag("a", evil));
    assert_eq!(yaml::parse(&text).unwrap()["images"][0]["newTag"], evil);
}

#[test]
fn what_can_t_be_edited_alone_is_an_error() {
    let shared = "images:\n- name: a\n  newTag: &t v1\n- name: b\n  newTag: *t\n";
    assert_eq!(set_image(shared, &tag("a", "v2")), Err(EditError::NotAlone("a".into())));
    let twice = "images:\n- name: a\n- name: a\n";
    assert_eq!(set_image(twice, &tag("a", "v2")), Err(EditError::Ambiguous("a".into())));
    for bad in ["", "# x\n", "a: 1\n---\nb: 1\n", "images: x\n", "images: [a]\n", "a: [\n"] {
        assert!(set_image(bad, &tag("a", "v2")).is_err(), "{bad:?}");
    }
}

/// Every layout that these pieces make: the edit is read back right, a second one is for nothing, and all lines but
/// those of the entry are there as they were.
#[test]
fn layouts() {
    let mut cases = 0;
    for head in [
        "",
        "---\n",
        "# top\n\nresources:\n- x # c\n",
        "resources:\n  - x\nnamespace: \"n\"\n",
        "%YAML 1.1\n---\nx: {a: [1, 2]}\n",
    ] {
        for images in [
            "",
            "images:\n",
            "images: []\n",
            "images:\n- name: other\n  newTag: '1'\n",
            "images:\n- name: a\n",
            "images:\n- name: a\n  newTag: v1\n",
            "images:\n  - newTag: v1 # c\n    name: 'a'\n    digest: sha256:1\n  - name: other\n",
            "images: [{name: other}, {\"name\": \"a\", 'newTag': \"v1\"}]\n",
            "images:\n- &e\n  name: a\n  newTag:    v1\n",
            "images:\n- {newTag: v1, name: a} # c\n",
            "images:\n\n- name: a\n\n  newTag: v1\n\n",
        ] {
            for tail in ["", "# end\n", "\n\nconfigMapGenerator:\n- name: c\n  literals:\n  - |\n    x\n", "...\n"] {
                for (crlf, cut) in [(false, false), (true, false), (false, true)] {
                    let mut text = format!("{head}{images}{tail}");
                    if crlf {
                        text = text.replace('\n', "\r\n");
                    }
                    if cut {
                        text.truncate(text.trim_end_matches('\n').len());
                    }
                    let Ok(Value::Object(before)) = yaml::parse(&text) else { continue };
                    cases += 1;
                    let after = set_image(&text, &tag("a", "1.10")).unwrap_or_else(|e| panic!("{e} {text:?}")).unwrap();
                    let Value::Object(mut value) = yaml::parse(&after).unwrap() else { panic!("{after}") };
                    let list = value["images"].as_array().unwrap().clone();
                    let entry = list.iter().find(|entry| entry["name"] == "a").unwrap();
                    assert_eq!(*entry, serde_json::json!({"name": "a", "newTag": "1.10"}), "{text:?}");
                    value["images"] = before.get("images").cloned().unwrap_or_default();
                    let mut before = before.clone();
                    before.entry("images").or_insert(Value::Null);
                    assert_eq!(value, before);
                    assert_eq!(set_image(&after, &tag("a", "1.10")), Ok(None), "{after:?}");
                    assert_eq!(after.ends_with('\n'), text.ends_with('\n'), "{text:?}");
                    assert_eq!(after.matches('\n').count(), after.matches(if crlf { "\r\n" } else { "\n" }).count());
                    let kept = text.lines().filter(|line| !line.contains(['1', '[']) && !line.starts_with("images"));
                    let mut lines = after.lines();
                    for line in kept {
                        assert!(lines.any(|other| other == line), "{line:?} of {text:?} is gone from {after:?}");
                    }
                }
            }
        }
    }
    assert!(cases > 500, "{cases}");
}

/// `path` as in Helm's parameters.
#[track_caller]
fn with(text: &str, document: usize, path: &str, value: &str) -> Result<Option<String>, EditError> {
    let root = yaml::parse_all(text).unwrap_or_default().into_iter().nth(document).unwrap_or_default();
    set(text, document, &steps(&root, path).unwrap(), &Value::String(value.to_owned()))
}

#[test]
fn one_value_of_any_file_is_set() {
    for (before, path, after) in [
        ("image:\n  tag: 1.0.0   # tag\n\n# more\n", "image.tag", "image:\n  tag: v2   # tag\n\n# more\n"),
        ("image: {tag: 'a', x: 1}\n", "image.tag", "image: {tag: 'v2', x: 1}\n"),
        ("{\"image\": {\"tag\": 7}}\n", "image.tag", "{\"image\": {\"tag\": \"v2\"}}\n"),
        ("a:\n- b: 1\n- b: x\n", "a[1].b", "a:\n- b: 1\n- b: v2\n"),
        ("image.tag: x\n", "image.tag", "image.tag: v2\n"),
        ("a: &t\n  tag: x\nimage: *t\n", "image.tag", "a: &t\n  tag: v2\nimage: *t\n"),
        ("a: &t x\nimage:\n  tag: *t\n", "image.tag", "a: &t v2\nimage:\n  tag: *t\n"),
        ("a: &b {tag: x}\nimage:\n  <<: *b\n", "image.tag", "a: &b {tag: x}\nimage:\n  <<: *b\n  tag: v2\n"),
        ("tag: |\n  x\nb: 1\n", "tag", "tag: v2\nb: 1\n"),
        ("tag: >-\r\n  x\r\nb: 1\r\n", "tag", "tag: v2\r\nb: 1\r\n"),
        ("\u{feff}tag: x\n", "tag", "\u{feff}tag: v2\n"),
        ("a: 1 # c\n", "image.tag", "a: 1 # c\nimage:\n  tag: v2\n"),
        ("\u{feff}a: 1\n", "tag", "\u{feff}a: 1\ntag: v2\n"),
        ("image:\n  name: x # c\nb: 1\n", "image.tag", "image:\n  name: x # c\n  tag: v2\nb: 1\n"),
        ("image: {}\nb: 1\n", "image.tag", "image:\n  tag: v2\nb: 1\n"),
        ("image:\nb: 1\n", "image.tag", "image:\n  tag: v2\nb: 1\n"),
        ("image: {name: x}\n", "image.tag", "image: {name: x, tag: v2}\n"),
        ("a:\n  - x\nb: []\n", "b[0].tag", "a:\n  - x\nb:\n  - tag: v2\n"),
        ("a:\r\n- x\r\n", "a[1]", "a:\r\n- x\r\n- v2\r\n"),
        ("", "image.tag", "image:\n  tag: v2\n"),
        ("# c\n", "tag", "# c\ntag: v2\n"),
        ("{}", "tag", "{\"tag\": \"v2\"}"),
        ("a: 1", "tag", "a: 1\ntag: v2"),
    ] {
        assert_eq!(with(before, 0, path, "v2"), Ok(Some(after.to_owned())), "{before:?} {path}");
        assert_eq!(with(after, 0, path, "v2"), Ok(None), "{after:?} {path}");
    }
    let several = "# one\na: 1\n--- # two\nimage: x\n...\n---\nb: 1\n";
    assert_eq!(with(several, 1, "image", "v2"), Ok(Some(several.replace("image: x", "image: v2"))));
    assert_eq!(with(several, 2, "c.d", "v2"), Ok(Some(format!("{several}c:\n  d: v2\n"))));
}

#[test]
fn a_value_that_has_no_place_is_an_error() {
    for (text, path, words) in [
        ("image: nginx\n", "image.tag", "`image` must be a mapping"),
        ("image: {tag: {}}\n", "image.tag", "`image.tag` must be a single value"),
        ("a:\n- b: x\n", "a[5].b", "`a` has no item 5"),
        ("a:\n- b: x\n", "a.b", "`a` must be a mapping, or the path have an index"),
        ("a: {}\n", "a[0]", "`a` must be a list"),
        ("a: [\n", "a", "the file can't be read as YAML"),
        ("- a\n", "a", "the file must be a mapping, or the path have an index"),
    ] {
        assert_eq!(with(text, 0, path, "v2").unwrap_err().to_string(), words, "{text:?}");
    }
    assert_eq!(with("a: 1\n", 1, "a", "v2"), Err(EditError::NoDocument(1)));
    assert_eq!(steps(&Value::Null, "a[x]"), None);
}

#[test]
fn block_texts_are_replaced() {
    for (before, path, after) in [
        ("a:\n- expr: |\n    x{y}\n  for: 2m\n", "a[0].expr", "a:\n- expr: v2\n  for: 2m\n"),
        (
            "a:\n- b: 1\n  expr: |-\n    - x\n      y\n\n  # c\n- b: 2\n",
            "a[0].expr",
            "a:\n- b: 1\n  expr: v2\n\n  # c\n- b: 2\n",
        ),
        ("a:\n# c\n- expr: |\n    x\n", "a[0].expr", "a:\n# c\n- expr: v2\n"),
    ] {
        assert_eq!(with(before, 0, path, "v2"), Ok(Some(after.to_owned())), "{before:?} {path}");
    }
}
