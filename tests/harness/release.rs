//! A release is packed to the same bytes each time, and lists what is linked into it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use slipway_tests::tools;

fn pack(arguments: &[&str]) {
    let mut pack = Command::new("python3");
    pack.arg("infra/pack.py").args(arguments).current_dir(tools::workspace()).env("SOURCE_DATE_EPOCH", "1700000000");
    tools::run(&mut pack).expect("it packs");
}

#[test]
fn archives_depend_on_nothing_but_what_is_in_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for (name, age, mode) in [("one", 0, 0o644), ("two", 5000, 0o700)] {
        fs::write(path(name), "the same binary").unwrap();
        let file = fs::File::open(path(name)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
        file.set_permissions(fs::Permissions::from_mode(mode)).unwrap();
        pack(&["zip", &path(&format!("{name}.zip")), &path(name), "bootstrap"]);
        pack(&["tar", &path(&format!("{name}.tar.gz")), &path(name), "slipway"]);
    }
    for kind in ["zip", "tar.gz"] {
        let bytes = |name| fs::read(path(&format!("{name}.{kind}"))).unwrap();
        assert_eq!(bytes("one"), bytes("two"), "{kind}");
    }
    let listed = |command: &str, arguments: &[&str]| tools::capture(Command::new(command).args(arguments)).unwrap();
    let script = "import sys, zipfile
for entry in zipfile.ZipFile(sys.argv[1]).infolist(): print(oct(entry.external_attr >> 16), entry.filename)";
    assert_eq!(listed("python3", &["-c", script, &path("one.zip")]), "0o100755 bootstrap\n");
    assert!(listed("tar", &["-tvzf", &path("one.tar.gz")]).starts_with("-rwxr-xr-x 0/0"));
}

fn sbom(package: &str, out: &Path) -> Value {
    let path = out.to_str().expect("UTF-8");
    pack(&["sbom", path, package, "x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"]);
    serde_json::from_slice(&fs::read(out).expect("it is written")).expect("JSON")
}

#[test]
fn what_is_linked_is_listed_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let lock = fs::read_to_string(tools::workspace().join("Cargo.lock")).unwrap();
    for (package, has, lacks) in
        [("slipway-ecr-push", "aws-sdk-ecr", "clap"), ("slipway-cli", "clap", "jsonschema-regex")]
    {
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        let document = sbom(package, &one);
        sbom(package, &two);
        assert_eq!(fs::read(&one).unwrap(), fs::read(&two).unwrap());
        assert_eq!((&document["bomFormat"], &document["specVersion"]), (&"CycloneDX".into(), &"1.5".into()));
        assert_eq!(document["metadata"]["component"]["name"], package);
        let components = document["components"].as_array().unwrap();
        let names: BTreeSet<&str> = components.iter().map(|one| one["name"].as_str().unwrap()).collect();
        assert!(names.contains(has) && names.contains("slipway"), "{package}");
        assert!(!names.contains(lacks) && !names.contains("slipway-tests") && !names.contains("apollo-compiler"));
        let references: BTreeSet<&str> = components
            .iter()
            .chain([&document["metadata"]["component"]])
            .map(|one| one["bom-ref"].as_str().unwrap())
            .collect();
        assert_eq!(references.len(), components.len() + 1, "each is named once");
        for one in components {
            let (name, version) = (one["name"].as_str().unwrap(), one["version"].as_str().unwrap());
            assert!(lock.contains(&format!("name = \"{name}\"\nversion = \"{version}\"\n")), "{name} {version}");
            assert!(one["licenses"][0]["expression"].is_string(), "{name} says no licence");
            let ours = name.starts_with("slipway");
            let checksum = one["hashes"][0]["content"].as_str();
            assert!(ours || checksum.is_some_and(|sum| lock.contains(&format!("checksum = \"{sum}\""))), "{name}");
        }
        let dependencies = document["dependencies"].as_array().unwrap();
        assert_eq!(dependencies.len(), references.len());
        let needed = dependencies.iter().flat_map(|one| one["dependsOn"].as_array().unwrap());
        assert!(needed.clone().count() > references.len());
        for one in needed {
            assert!(references.contains(one.as_str().unwrap()), "{one} is no component");
        }
    }
}

/// The script names what is built, the template where it is looked for, `slipway up` what it uploads.
#[test]
fn the_script_builds_every_function_of_the_template() {
    let read = |path: &str| fs::read_to_string(tools::workspace().join(path)).unwrap();
    let template = read("infra/template.yaml");
    let used: BTreeSet<&str> =
        template.lines().filter_map(|line| line.trim().strip_prefix("CodeUri: ../target/lambda/")).collect();
    let script = read("infra/release.sh");
    let built = script.split("FUNCTIONS=(").nth(1).unwrap().split(')').next().unwrap();
    assert_eq!(built.split(' ').collect::<BTreeSet<_>>(), used);
    let uploaded = read("functions/cli/src/up/upload.rs");
    for name in used {
        assert!(uploaded.contains(&format!("\"{name}\"")), "{name}");
    }
    tools::run(Command::new("bash").arg("-n").arg(tools::workspace().join("infra/release.sh"))).unwrap();
}
