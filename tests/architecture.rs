//! Checks the rules of the source: layers, the places of terminal output and `unsafe`, sizes.
//!
//! The source is read as text, with comments and literals blanked out. Modules that exist only under `#[cfg(test)]`,
//! inline or as files, may do what tests do; the limit for the size of files applies to them, too.

mod common;

use common::rust_source::{
    blank_out, files_below, functions, lines_with, modules_named, strings, without_tests,
};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The layers from top to bottom, and their modules. A module may use itself and the modules of lower layers, but no
/// other module of its own layer. `docs/architecture.md` explains what each module is for.
const LAYERS: &[(&str, &[&str])] = &[
    ("terminal", &["cli"]),
    ("servers", &["fuse", "nbd", "runner"]),
    ("engine", &["engine"]),
    ("flow", &["flow"]),
    ("ports", &["io", "store", "meta", "locks"]),
    ("connections", &["pg"]),
    ("mechanisms", &["config", "copies", "crypt", "hash", "metrics", "pem", "pool", "throttle", "monitor"]),
    ("system", &["sys"]),
    ("failpoints", &["failpoint"]),
    ("types", &["types"]),
];

/// Words that are allowed only in the terminal layer.
const TERMINAL: &[&str] = &[
    "println!",
    "print!",
    "eprintln!",
    "eprint!",
    "dbg!",
    "process::exit",
    "std::env",
    "env::var",
    "io::stdin",
    "io::stdout",
    "io::stderr",
    "clap::",
];

/// Exceptions to [`TERMINAL`]: the file, the allowed word, and the reason.
const EXCEPTIONS: &[(&str, &str, &str)] =
    &[("src/sys/title.rs", "std::env", "compares the memory that it found with the arguments, to be sure")];

/// Files below `cli` that name options all the same, and the reason.
const NAMES_OPTIONS: &[(&str, &str)] = &[
    ("src/config/template.rs", "a comment in the file of a new configuration gives the command that uses it"),
    ("src/fuse/mountpoint.rs", "the option is one of container runtimes"),
    ("src/locks/verbs.rs", "scripts look for this text of 2.13"),
    ("src/meta/url.rs", "the options are those of 2.13"),
    ("src/runner/hook.rs", "the option is one of the shell"),
];

/// Words that are allowed only in some places: the word, its places, and what to do elsewhere instead.
const CONFINED: &[(&str, &str, &str)] = &[
    ("rusqlite", "src/meta/", "add a verb to Metadata"),
    ("Sqlite", "src/meta/", "engines differ below meta::Metadata only"),
    ("Postgres", "src/meta/,src/pg/,src/locks/", "engines differ below meta::Metadata only"),
    ("postgres::Client", "src/meta/postgres/,src/pg/,src/locks/", "add a verb to Metadata"),
    (
        "thread::scope",
        "src/flow/,src/nbd.rs,src/runner.rs,src/pool/threads.rs",
        "compose the run of what src/flow has",
    ),
    ("thread::spawn", "src/pool/threads.rs", "it panics where no thread can be started: use pool::threads"),
    ("scope.spawn(", "src/pool/threads.rs", "it panics where no thread can be started: use pool::threads"),
    ("spawn_scoped", "src/pool/threads.rs", "use pool::threads"),
    ("thread::Builder", "src/pool/threads.rs", "use pool::threads"),
    ("File::create", "src/sys/", "sys::private and sys::whole make files"),
    (".create(true)", "src/sys/", "sys::private and sys::whole make files"),
    (".create_new(true)", "src/sys/", "sys::private and sys::whole make files"),
    ("fs::write(", "src/sys/", "sys::private and sys::whole make files"),
    ("create_dir", "src/sys/", "sys::private makes folders"),
    ("DirBuilder", "src/sys/", "sys::private makes folders"),
    ("try_reserve", "src/sys/memory.rs", "the program's allocator knows of sys::memory only"),
    ("signal_hook", "src/cli/", "ask Monitor::interrupted"),
    ("fuser", "src/fuse/", "use engine::image"),
    ("plotters", "src/cli/report/", "add a chart to src/cli/report/charts.rs"),
    ("zstd", "src/crypt/", "use crypt's Encoder and Decoder"),
    ("aes_gcm", "src/crypt/", "use crypt's Encoder and Decoder"),
    (
        "crate::crypt",
        "src/flow/,src/engine/site/,src/engine/rekey.rs,src/engine/copies.rs,src/engine/rebuild/vault.rs",
        "other modules handle blobs as bytes",
    ),
];

/// Words that mark unfinished work.
const UNFINISHED: &[&str] =
    &["todo!", "unimplemented!", "FIXME", "TODO", "XXX", "#[ignore", "allow(clippy::unwrap_used)"];

const MAX_FILE: usize = 450;
const MAX_FUNCTION: usize = 70;

/// A source file.
struct File {
    /// Path relative to the project's folder, with slashes.
    path: String,
    text: String,
    /// The text with comments, strings and character literals blanked out, line by line.
    code: String,
    /// `code` without the parts that are compiled only for tests, line by line.
    product: String,
}

impl File {
    /// The module of the file: `cli` for `src/cli/table.rs` and `src/cli.rs`; `None` for `lib.rs` and `main.rs`.
    fn module(&self) -> Option<&str> {
        let first = self.path.strip_prefix("src/")?.split('/').next()?;
        let name = first.strip_suffix(".rs").unwrap_or(first);
        (!["lib", "main"].contains(&name)).then_some(name)
    }

    /// Whether the file is at `place`, which is a file, or a folder with a trailing slash. A module's file counts as
    /// part of its folder.
    fn is_in(&self, place: &str) -> bool {
        self.path.starts_with(place)
            || place.strip_suffix('/').is_some_and(|module| self.path == format!("{module}.rs"))
    }

    /// The number of `super::` that lead from the top level of the file to the root of the crate.
    fn depth(&self) -> usize {
        let parts: Vec<&str> = self.path.split('/').skip(1).collect();
        if self.path.ends_with("/mod.rs") { parts.len() - 1 } else { parts.len() }
    }
}

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files below `src`, `tests` and `benches`.
fn files() -> Vec<File> {
    let paths = files_below(project(), &["src", "tests", "benches"]);
    let mut files: Vec<File> = paths
        .iter()
        .map(|path| {
            let text = fs::read_to_string(path).expect("a source file");
            let code = blank_out(&text);
            let relative = path.strip_prefix(project()).expect("in the project");
            let path = relative.to_str().expect("a plain name").to_owned();
            File { path, product: without_tests(&code), code, text }
        })
        .collect();
    let for_tests: BTreeSet<String> = files.iter().flat_map(test_files).collect();
    for file in &mut files {
        // This includes the files below a module that exists only for tests.
        let is_test = for_tests.iter().any(|test| file.path == *test || file.path.starts_with(&stem(test)));
        if is_test || !file.path.starts_with("src/") {
            file.product = String::new();
        }
    }
    files
}

/// The folder with the submodules of a file: `src/a/b/` for `src/a/b.rs`.
fn stem(path: &str) -> String {
    format!("{}/", path.trim_end_matches(".rs").trim_end_matches("/mod"))
}

/// The files that `file` includes by `#[cfg(test)] mod NAME;`.
fn test_files(file: &File) -> Vec<String> {
    let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let is_root = ["/mod.rs", "/lib.rs", "/main.rs"].iter().any(|end| file.path.ends_with(end));
    let below = if is_root { format!("{folder}/") } else { stem(&file.path) };
    let lines: Vec<&str> = file.text.lines().map(str::trim).collect();
    let mut found = Vec::new();
    for (at, _) in lines.iter().enumerate().filter(|(_, line)| **line == "#[cfg(test)]") {
        let item = lines[at + 1..].iter().find(|line| !line.starts_with("#["));
        let path = lines[at + 1..]
            .iter()
            .take_while(|line| line.starts_with("#["))
            .find_map(|line| line.strip_prefix("#[path = \"")?.strip_suffix("\"]"));
        let Some(name) = item.and_then(|item| item.split("mod ").nth(1)?.strip_suffix(';')) else { continue };
        match path {
            Some(path) => found.push(format!("{folder}/{path}")),
            None => found.extend([format!("{below}{name}.rs"), format!("{below}{name}/mod.rs")]),
        }
    }
    found
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|(_, modules)| modules.contains(&module))
}

fn fail_if_any(problems: &[String], help: &str) {
    assert!(problems.is_empty(), "\n{}\n\n{help}\n", problems.join("\n"));
}

#[test]
fn imports_go_downward_only() {
    let mut problems = Vec::new();
    for file in files() {
        let Some(module) = file.module() else { continue };
        if !file.path.starts_with("src/") {
            continue;
        }
        let Some(own) = layer(module) else {
            problems.push(format!("{}: module {module} is in no layer", file.path));
            continue;
        };
        for (used, line) in modules_named(&file.product) {
            // A name that is no module is a macro or an item of the crate's root.
            let Some(other) = layer(&used) else {
                problems.push(format!("{}:{line}: crate::{used} is in no layer", file.path));
                continue;
            };
            if used != module && other <= own {
                let (own, other) = (LAYERS[own].0, LAYERS[other].0);
                problems.push(format!("{}:{line}: {module} ({own}) uses {used} ({other})", file.path));
            }
        }
        let root = "super::".repeat(file.depth());
        for line in lines_with(&file.product, &root) {
            problems.push(format!("{}:{line}: {root} leads out of the module: write crate::", file.path));
        }
    }
    fail_if_any(
        &problems,
        "A module uses those of lower layers only. Move the code down, or hand in what it needs as a trait or an \
         argument. A new module belongs into LAYERS in tests/architecture.rs and into docs/architecture.md.",
    );
}

#[test]
fn the_documentation_names_every_module() {
    let documentation = fs::read_to_string(project().join("docs/architecture.md")).expect("it is there");
    let root = fs::read_to_string(project().join("src/lib.rs")).expect("it is there");
    let modules: BTreeSet<String> =
        files().iter().filter_map(File::module).filter(|m| layer(m).is_some()).map(str::to_owned).collect();
    for module in modules {
        assert!(
            documentation.contains(&format!("`{module}`")),
            "docs/architecture.md has no word of `{module}`: add it to its table"
        );
        assert!(root.contains(&format!("[`{module}`]")), "the table in src/lib.rs lacks [`{module}`]");
    }
    for (name, _) in LAYERS.iter().filter(|(_, modules)| modules.iter().any(|m| root.contains(m))) {
        assert!(
            documentation.contains(&format!("| {name} |")),
            "docs/architecture.md lacks the layer {name}"
        );
    }
}

#[test]
fn only_the_terminal_prints_exits_and_reads_the_environment() {
    let mut problems = Vec::new();
    for file in files().iter().filter(|file| file.module() != Some("cli")) {
        for word in TERMINAL {
            let excepted = EXCEPTIONS.iter().any(|(path, what, _)| *path == file.path && what == word);
            for line in lines_with(&file.product, word).into_iter().filter(|_| !excepted) {
                problems.push(format!("{}:{line}: {word}", file.path));
            }
        }
    }
    fail_if_any(
        &problems,
        "Tell crate::monitor::Monitor, return a value or an error, or take an argument: src/cli does the rest.",
    );
}

#[test]
fn tools_stay_where_they_belong() {
    let mut problems = Vec::new();
    for file in files() {
        for (word, places, instead) in CONFINED {
            let at_home = places.split(',').any(|place| file.is_in(place));
            for line in lines_with(&file.product, word).into_iter().filter(|_| !at_home) {
                problems.push(format!("{}:{line}: {word} belongs to {places}: {instead}", file.path));
            }
        }
    }
    fail_if_any(&problems, "Where the place has grown with good reason, say so in CONFINED.");
}

/// The places where `unsafe` is allowed: kernel calls, and vector instructions.
const UNSAFE: [&str; 3] = ["src/sys/", "src/hash/sha512/avx", "src/crypt/vectors.rs"];

#[test]
fn unsafe_stands_in_few_places() {
    let mut problems = Vec::new();
    for file in files().iter().filter(|file| !UNSAFE.iter().any(|place| file.path.starts_with(place))) {
        for word in ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern", "allow(unsafe_code)"] {
            problems
                .extend(lines_with(&file.code, word).iter().map(|l| format!("{}:{l}: {word}", file.path)));
        }
    }
    fail_if_any(
        &problems,
        "Put it behind a safe function in one of the places of UNSAFE, with its argument in a SAFETY comment.",
    );
}

#[test]
fn files_and_functions_are_short() {
    let mut problems = Vec::new();
    for file in files() {
        let lines = file.text.lines().count();
        if lines > MAX_FILE {
            problems.push(format!("{}: {lines} lines, at most {MAX_FILE}", file.path));
        }
        for (name, line, length) in functions(&file.code) {
            if length > MAX_FUNCTION {
                problems.push(format!(
                    "{}:{line}: fn {name} has {length} lines, at most {MAX_FUNCTION}",
                    file.path
                ));
            }
        }
    }
    fail_if_any(&problems, "Cut it where a reader would take a breath; tests may go to a file of their own.");
}

/// The files of modules and tests follow one convention, so that readers know where to look.
#[test]
fn modules_and_tests_have_one_layout() {
    let mut problems = Vec::new();
    for file in files().iter().filter(|file| file.path.starts_with("src/")) {
        if file.path.ends_with("/mod.rs") {
            problems.push(format!("{}: the file of a module is NAME.rs, beside the folder NAME", file.path));
        }
        if file.path.ends_with("_tests.rs") {
            problems.push(format!("{}: tests of NAME.rs are inline or in NAME/tests.rs", file.path));
        }
        let shares = |path: &&str| path.contains("#[path") && !path.contains("/tests/common/");
        problems.extend(file.text.lines().filter(shares).map(|line| format!("{}: {line}", file.path)));
    }
    fail_if_any(&problems, "Only what the tests of the crate and those in tests share has a #[path].");
}

/// The first option of the program that `text` names. In backquotes are commands, and those of other programs have
/// options of their own.
fn option_in(text: &str) -> Option<&str> {
    let parts = text.split('`').enumerate();
    let ours = parts.filter(|(at, part)| at % 2 == 0 || part.starts_with("backy2")).map(|(_, part)| part);
    let words = ours.flat_map(|part| part.split(|c: char| !c.is_ascii_alphanumeric() && c != '-'));
    let is_name = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '-');
    words.into_iter().find(|word| match word.strip_prefix("--") {
        Some(name) => is_name(name),
        None => word.len() == 2 && word.strip_prefix('-').is_some_and(is_name) && *word != "--",
    })
}

#[test]
fn only_the_terminal_names_options() {
    let mut problems = Vec::new();
    let mut unused: BTreeSet<&str> = NAMES_OPTIONS.iter().map(|(path, _)| *path).collect();
    let files = files();
    for file in files.iter().filter(|file| !file.product.is_empty() && file.module() != Some("cli")) {
        let lines: Vec<&str> = file.product.lines().collect();
        for (line, text) in strings(&file.text) {
            // Code of tests leaves empty lines behind. In SQL a minus stands before names.
            let is_product = lines.get(line - 1).is_some_and(|line| !line.is_empty());
            let Some(option) = option_in(&text).filter(|_| is_product && !text.contains("SELECT")) else {
                continue;
            };
            if NAMES_OPTIONS.iter().any(|(path, _)| *path == file.path) {
                unused.remove(&*file.path);
            } else {
                problems.push(format!("{}:{line}: {option}", file.path));
            }
        }
    }
    problems
        .extend(unused.iter().map(|path| format!("{path} names no option: take it out of NAMES_OPTIONS")));
    fail_if_any(&problems, "Add a kind to types::remedy::Remedy, and its sentence to cli::remedy.");
}

#[test]
fn options_are_distinguished_from_other_words() {
    assert_eq!(option_in("You must force it (--force)."), Some("--force"));
    assert_eq!(option_in("-f ignores that"), Some("-f"));
    assert_eq!(option_in("run `backy2 rm -f {uid}`"), Some("-f"));
    for text in ["see `ulimit -f`", "its -wal file", "sum(-size)", "a - b -- c", "(ssh -L)", "x-y", "-1"] {
        assert_eq!(option_in(text), None, "{text}");
    }
}

#[test]
fn nothing_is_left_for_later() {
    let mut problems = Vec::new();
    for file in files().iter().filter(|file| file.path != "tests/architecture.rs") {
        for word in UNFINISHED {
            problems
                .extend(lines_with(&file.text, word).iter().map(|l| format!("{}:{l}: {word}", file.path)));
        }
    }
    fail_if_any(&problems, "Finish it, or leave it out and say so in the documentation.");
}

#[test]
fn every_module_is_in_one_layer() {
    let all: Vec<&str> = LAYERS.iter().flat_map(|(_, modules)| modules.iter().copied()).collect();
    assert_eq!(all.len(), all.iter().collect::<BTreeSet<_>>().len(), "a module is in two layers");
}

#[test]
fn the_scanner_sees_code_and_nothing_else() {
    let code = blank_out(
        "a /* x */ b // c\nr#\"crate::x \" \"# 'c' '\\'' \"\\\"crate::y\" &'static z b\"q\" 'a: {}",
    );
    assert_eq!(code.split_whitespace().collect::<Vec<_>>(), ["a", "b", "&'static", "z", "b", "'a:", "{}"]);
    assert_eq!(code.matches('\n').count(), 1);
    assert_eq!(without_tests("a;\n#[cfg(test)]\nmod t {\n fn x() {}\n}\nb;"), "a;\n\n\n\n\nb;");
    assert_eq!(without_tests("#[cfg(test)]\nmod t;\nb;"), "\n\nb;");
    assert_eq!(functions("fn a(x: [u8; 2]) {\n}"), [("a".to_owned(), 1, 2)]);
    let names = |code| modules_named(code).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(names("use crate::{io::{self, X}, meta};\ncrate::hash::y()"), ["io", "meta", "hash"]);
    assert_eq!(functions("fn a();\npub fn b() {\n  {}\n}"), [("a".into(), 1, 1), ("b".into(), 2, 3)]);
    assert_eq!(lines_with("x\nprintln!()\neprintln!()", "println!"), [2]);
}
