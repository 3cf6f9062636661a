//! The Rust files of the tree, cut into what the rules speak of.

use std::path::{Path, PathBuf};

/// One Rust file.
#[derive(Debug)]
pub(crate) struct Source {
    /// From the root of the tree, with `/` between.
    pub(crate) path: String,
    pub(crate) lines: Vec<Line>,
}

/// One line of a Rust file.
#[derive(Debug)]
pub(crate) struct Line {
    /// From 1.
    pub(crate) number: usize,
    /// The line as it is.
    pub(crate) text: String,
    /// The line without comments and without what stands between quotes.
    pub(crate) code: String,
    /// The comment on it, where there is one.
    pub(crate) comment: String,
    /// In a file of tests, or below the `#[cfg(test)]` of a module of tests.
    pub(crate) in_tests: bool,
}

/// The folder that holds the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the root")
}

/// Every file of the tree with this extension, sorted; what is built is passed over.
pub(crate) fn files(extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("lists") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let hidden = name.starts_with('.') || ["target", "demo-data"].contains(&name.as_str());
            if path.is_dir() && !hidden && !path.is_symlink() {
                folders.push(path);
            } else if path.extension().is_some_and(|given| given == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// A path as the rules name it.
pub(crate) fn name(path: &Path) -> String {
    let inside = path.strip_prefix(root()).expect("a path in the tree");
    inside.to_string_lossy().replace('\\', "/")
}

/// Every Rust file.
pub(crate) fn sources() -> Vec<Source> {
    let sources: Vec<_> = files("rs").iter().map(|path| Source::read(path)).collect();
    assert!(sources.len() > 100, "the tree was found: {} files", sources.len());
    sources
}

impl Source {
    fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).expect("reads");
        let path = name(path);
        let mut in_tests = is_of_tests(&path);
        let mut scan = Scan::default();
        let mut lines = Vec::new();
        let texts: Vec<_> = text.lines().collect();
        for (index, text) in texts.iter().enumerate() {
            let next = texts.get(index + 1).copied().unwrap_or_default();
            in_tests |=
                text.starts_with("#[cfg(test)]") && next.starts_with("mod ") && next.ends_with('{');
            let (code, comment) = scan.line(text);
            lines.push(Line {
                number: index + 1,
                text: (*text).to_owned(),
                code,
                comment,
                in_tests,
            });
        }
        Self { path, lines }
    }

    /// Whether the whole file is tests.
    pub(crate) fn is_of_tests(&self) -> bool {
        is_of_tests(&self.path)
    }

    /// The lines that are not tests.
    pub(crate) fn own(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|line| !line.in_tests)
    }

    /// `path:line: …`.
    pub(crate) fn at(&self, line: &Line, what: &str) -> String {
        format!("{}:{}: {what}", self.path, line.number)
    }
}

fn is_of_tests(path: &str) -> bool {
    let mut parts = path.split('/');
    let helper =
        ["conformance.rs", "samples.rs", "fixture.rs"].iter().any(|name| path.ends_with(name));
    parts.any(|part| part == "tests" || part == "tests.rs" || part.ends_with("_tests.rs")) || helper
}

/// What a line leaves open for the next one.
#[derive(Debug, Default)]
struct Scan {
    block_comments: usize,
    /// The end of the string that is open.
    string: Option<String>,
}

impl Scan {
    /// Code and comment of the next line.
    fn line(&mut self, text: &str) -> (String, String) {
        let (mut code, mut comment) = (String::new(), String::new());
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let mut step = first.len_utf8();
            if let Some(end) = &self.string {
                if rest.starts_with('\\') && end == "\"" {
                    step += rest[1..].chars().next().map_or(0, char::len_utf8);
                } else if rest.starts_with(end.as_str()) {
                    step = end.len();
                    code.push('"');
                    self.string = None;
                }
            } else if self.block_comments > 0 || rest.starts_with("/*") {
                step = self.block(rest, &mut comment);
            } else if rest.starts_with("//") {
                comment.push_str(rest);
                break;
            } else {
                step = self.code(rest, &mut code);
            }
            rest = &rest[step..];
        }
        (code, comment)
    }

    fn block(&mut self, rest: &str, comment: &mut String) -> usize {
        let step = match rest {
            open if open.starts_with("/*") => {
                self.block_comments += 1;
                2
            }
            close if close.starts_with("*/") => {
                self.block_comments -= 1;
                2
            }
            other => other.chars().next().map_or(1, char::len_utf8),
        };
        comment.push_str(&rest[..step]);
        step
    }

    fn code(&mut self, rest: &str, code: &mut String) -> usize {
        let raw = rest.strip_prefix('r').map(|rest| rest.trim_start_matches('#'));
        let hashes = raw.map_or(0, |raw| rest.len() - 1 - raw.len());
        let word_before = code.ends_with(|last: char| last.is_alphanumeric() || last == '_');
        let byte_before =
            code.ends_with('b') && !code.trim_end_matches('b').ends_with(char::is_alphanumeric);
        if raw.is_some_and(|raw| raw.starts_with('"')) && (!word_before || byte_before) {
            self.string = Some(format!("\"{}", "#".repeat(hashes)));
            code.push('"');
            return hashes + 2;
        }
        if rest.starts_with('"') {
            self.string = Some("\"".to_owned());
            code.push('"');
            return 1;
        }
        if let Some(length) = character(rest) {
            code.push_str("' '");
            return length;
        }
        let first = rest.chars().next().unwrap_or(' ');
        code.push(first);
        first.len_utf8()
    }
}

/// Bytes of the character literal that `rest` begins with; a lifetime is none.
fn character(rest: &str) -> Option<usize> {
    let inner = rest.strip_prefix('\'')?;
    let escaped = inner.starts_with('\\');
    let skip = if escaped { 2 } else { inner.chars().next()?.len_utf8() };
    let end = if escaped { inner.get(skip..)?.find('\'')? } else { 0 };
    inner.get(skip + end..)?.starts_with('\'').then_some(1 + skip + end + 1)
}

/// Fails with every fault on a line of its own.
#[track_caller]
pub(crate) fn none(faults: &[String]) {
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn code_is_told_from_comments_and_strings() {
    let mut scan = Scan::default();
    for (text, code, comment) in [
        ("let a = 1; // why", "let a = 1; ", "// why"),
        (r#"call("unsafe // no", x)"#, r#"call("", x)"#, ""),
        (r##"let a = r#"one"#; b"##, r#"let a = ""; b"#, ""),
        (r#"let a = b"x\"y"; z"#, r#"let a = b""; z"#, ""),
        (
            r#"match c { '"' => 'a', '\'' => f::<'a>() }"#,
            "match c { ' ' => ' ', ' ' => f::<'a>() }",
            "",
        ),
        ("a /* b */ c", "a  c", "/* b */"),
        ("open(\"first", "open(\"", ""),
        ("second\\\" \" ) // x", "\" ) ", "// x"),
    ] {
        assert_eq!(scan.line(text), (code.to_owned(), comment.to_owned()), "{text}");
    }
}
