//! Rules on how code is written.

use super::source::{Line, Source, none, sources};

/// Lines of one function, comments and blank lines aside. Most are under 40.
const FUNCTION_LINES_MAX: usize = 70;
/// Lines of one file, tests aside.
const FILE_LINES_MAX: usize = 500;
/// The C ABI is one contract, and one header is generated from this one file.
const LONG_FILES: [&str; 1] = ["plugin-api/src/abi.rs"];

/// Names that say nothing of what is inside.
const EMPTY_NAMES: [&str; 12] = [
    "utils",
    "util",
    "helpers",
    "helper",
    "common",
    "misc",
    "types",
    "models",
    "constants",
    "manager",
    "service",
    "handler",
];

#[test]
fn files_are_named_for_what_is_inside() {
    let mut faults = Vec::new();
    for source in sources() {
        let parts = source.path.trim_end_matches(".rs").split('/');
        let empty = parts.filter(|part| EMPTY_NAMES.contains(part)).count();
        if empty > 0 {
            faults.push(format!("{}: name it for what is inside", source.path));
        }
    }
    none(&faults);
}

/// Unsafe code is the business of the plugin boundary, and of CPU intrinsics.
#[test]
fn unsafe_stays_in_its_place() {
    let allowed = ["plugin-api/", "daemon/lanes/"];
    each_line(|source, line| {
        let elsewhere = !allowed.iter().any(|place| source.path.starts_with(place));
        (elsewhere && has_word(&line.code, "unsafe")).then_some("unsafe")
    });
}

#[test]
fn functions_are_short() {
    let mut faults = Vec::new();
    for source in sources() {
        for (index, line) in source.lines.iter().enumerate() {
            let Some(indent) = function(line) else { continue };
            let opens = |line: &Line| line.code.trim_end().ends_with(['{', ';']);
            let head = source.lines[index..].iter().find(|line| opens(line));
            if head.is_none_or(|line| line.code.trim_end().ends_with(';')) {
                continue;
            }
            let ends = |line: &&Line| line.text.trim_end() == format!("{indent}}}");
            let rest = &source.lines[index..];
            let length = rest.iter().position(|line| ends(&line)).map_or(0, |end| end + 1);
            let length = rest[..length].iter().filter(|line| !line.code.trim().is_empty()).count();
            if length > FUNCTION_LINES_MAX + 2 {
                faults.push(
                    source.at(line, &format!("{length} lines; at most {FUNCTION_LINES_MAX}")),
                );
            }
        }
    }
    none(&faults);
}

/// The indentation of a function whose body begins on later lines.
fn function(line: &Line) -> Option<String> {
    let code = line.code.trim_start();
    let indent = line.code[..line.code.len() - code.len()].to_owned();
    let words =
        ["pub ", "pub(crate) ", "pub(super) ", "async ", "const ", "unsafe ", "extern \"\" "];
    let mut rest = code;
    while let Some(next) = words.iter().find_map(|word| rest.strip_prefix(word)) {
        rest = next;
    }
    let rest = rest.split_once("pub(in ").map_or(rest, |(_, rest)| rest);
    let one_line = code.trim_end().ends_with(['}', ';']);
    (rest.starts_with("fn ") && !one_line).then_some(indent)
}

#[test]
fn files_are_short() {
    let mut faults = Vec::new();
    for source in sources().iter().filter(|source| !source.is_tests) {
        if LONG_FILES.contains(&source.path.as_str()) {
            continue;
        }
        let length = source.own().count();
        if length > FILE_LINES_MAX {
            faults.push(format!("{}: {length} lines; at most {FILE_LINES_MAX}", source.path));
        }
    }
    none(&faults);
}

#[test]
fn nothing_is_left_for_later() {
    each_line(|source, line| {
        let own = source.path.starts_with("tests/tidy/");
        let marks = ["TODO", "FIXME", "XXX", "HACK"];
        let mark = marks.iter().any(|mark| has_word(&line.comment, mark));
        let macros = ["dbg!(", "todo!(", "unimplemented!("];
        let left = macros.iter().any(|name| line.code.contains(name));
        (!own && (mark || left)).then_some("left for later")
    });
}

#[test]
fn lints_are_expected_with_a_reason_and_never_allowed() {
    each_line(|_, line| {
        line.code.trim_start().starts_with("#[allow(").then_some("#[expect(…, reason)]")
    });
}

/// A test waits for what it needs to see, it does not sleep; and it is run or it is not there.
#[test]
fn tests_do_not_sleep_and_are_not_ignored() {
    each_line(|source, line| {
        let of_tests = line.in_tests || source.path.starts_with("tests/");
        let sleeps = of_tests && line.code.contains("sleep(");
        let ignored = line.code.trim_start().starts_with("#[ignore");
        (sleeps || ignored).then_some("a test that sleeps or is ignored")
    });
}

/// An undone or unknown case is an error with a name, not a panic.
#[test]
fn only_tests_unwrap() {
    each_line(|source, line| {
        let tests = line.in_tests || source.path.starts_with("tests/");
        (!tests && line.code.contains(".unwrap()")).then_some("unwrap")
    });
}

/// serde takes an array for a struct; `hallmark_json` does not. What is listed reads what this program
/// itself wrote, or has no structs.
#[test]
fn json_from_outside_is_read_strictly() {
    const OWN: [&str; 7] = [
        "daemon/core/",
        "daemon/src/cli/client.rs",
        "daemon/src/cli/validate_running/mod.rs",
        "daemon/src/app/",
        "daemon/src/store/embedded/",
        "daemon/src/store/record.rs",
        "plugin-api/",
    ];
    each_line(|source, line| {
        let own = OWN.iter().any(|place| source.path.starts_with(place));
        let product = ["daemon/", "plugins/"].iter().any(|place| source.path.starts_with(place));
        let reads = line.code.contains("serde_json::from_");
        (product && !own && !line.in_tests && reads).then_some("read it with hallmark_json")
    });
}

#[test]
fn every_file_says_what_it_is() {
    let silent = |source: &Source| {
        let first = source.lines.first().is_some_and(|line| line.text.starts_with("//!"));
        (!first && !source.is_tests).then(|| format!("{}: begin with //!", source.path))
    };
    none(&sources().iter().filter_map(silent).collect::<Vec<_>>());
}

fn each_line(fault: impl Fn(&Source, &Line) -> Option<&'static str>) {
    let mut faults = Vec::new();
    for source in sources() {
        for line in &source.lines {
            if let Some(what) = fault(&source, line) {
                faults.push(source.at(line, &format!("{what}: {}", line.text.trim())));
            }
        }
    }
    none(&faults);
}

/// True if `word` stands in `text` by itself.
fn has_word(text: &str, word: &str) -> bool {
    let inside = |letter: char| letter.is_alphanumeric() || letter == '_';
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !before.is_some_and(inside) && !after.is_some_and(inside)
    })
}
