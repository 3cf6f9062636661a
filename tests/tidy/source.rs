//! The Rust files of the tree, cut into what the rules speak of.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// One Rust file.
#[derive(Debug)]
pub(crate) struct Source {
    /// From the root of the tree, with `/` between.
    pub(crate) path: String,
    pub(crate) lines: Vec<Line>,
    /// True if the whole file is tests: a test target, or a module under `#[cfg(test)]`.
    pub(crate) is_tests: bool,
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
    /// True in a file of tests, and below the `#[cfg(test)]` of a module of tests.
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
    let mut sources: Vec<_> = files("rs").iter().map(|path| Source::read(path)).collect();
    assert!(sources.len() > 100, "the tree was found: {} files", sources.len());
    mark_tests(&mut sources);
    sources
}

/// Marks test targets, and the modules that are compiled for tests only, with all below them.
fn mark_tests(sources: &mut [Source]) {
    let known: BTreeSet<_> = sources.iter().map(|source| source.path.clone()).collect();
    let targets = sources.iter().filter(|source| is_test_target(&source.path));
    let mut tests: BTreeSet<_> = targets.map(|source| source.path.clone()).collect();
    let mut open: Vec<_> = sources.iter().flat_map(|one| one.modules(&known, true)).collect();
    while let Some(path) = open.pop() {
        let below = sources.iter().find(|source| source.path == path);
        open.extend(below.into_iter().flat_map(|source| source.modules(&known, false)));
        tests.insert(path);
    }
    for source in sources.iter_mut().filter(|source| tests.contains(&source.path)) {
        source.is_tests = true;
        source.lines.iter_mut().for_each(|line| line.in_tests = true);
    }
}

/// True for a file of a test target: below a `tests` folder that lies beside `src`, not in it.
fn is_test_target(path: &str) -> bool {
    let target = path.split("/src/").next().unwrap_or(path);
    let helper = path.starts_with("tests/src/");
    helper || (target == path && path.split('/').any(|part| part == "tests"))
}

impl Source {
    fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).expect("reads");
        Self::of(name(path), &text)
    }

    pub(crate) fn of(path: String, text: &str) -> Self {
        let mut in_tests = false;
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
        Self { path, lines, is_tests: false }
    }

    /// The files of the modules that this file declares; only those for tests, if asked.
    fn modules(&self, known: &BTreeSet<String>, for_tests_only: bool) -> Vec<String> {
        let folder = self.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let stem = self.path.rsplit('/').next().unwrap_or_default().trim_end_matches(".rs");
        let below = match stem {
            "mod" | "lib" | "main" => folder.to_owned(),
            stem => format!("{folder}/{stem}"),
        };
        let (mut found, mut for_tests, mut elsewhere) = (Vec::new(), false, None);
        for line in &self.lines {
            let code = line.code.trim();
            if code.starts_with("#[") {
                for_tests |= code == "#[cfg(test)]";
                elsewhere = elsewhere.or_else(|| path_attribute(&line.text));
                continue;
            }
            if let Some(name) = module_declared(code).filter(|_| for_tests || !for_tests_only) {
                let beside = [format!("{below}/{name}.rs"), format!("{below}/{name}/mod.rs")];
                found.extend(elsewhere.map(|path| resolved(folder, path)));
                found.extend(beside);
            }
            (for_tests, elsewhere) = (false, None);
        }
        found.retain(|path| known.contains(path));
        found
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

/// The name in `mod name;`, whoever may see it.
fn module_declared(code: &str) -> Option<&str> {
    let (visibility, rest) = code.strip_suffix(';')?.split_once("mod ")?;
    let visible = visibility.is_empty() || visibility.starts_with("pub");
    let name = rest.trim();
    let word = name.chars().all(|letter| letter.is_alphanumeric() || letter == '_');
    (visible && word).then_some(name)
}

/// The file that `#[path = "…"]` names.
fn path_attribute(text: &str) -> Option<&str> {
    text.trim().strip_prefix("#[path = \"")?.strip_suffix("\"]")
}

/// A path from a folder of the tree, its `..` resolved.
fn resolved(folder: &str, path: &str) -> String {
    let mut parts: Vec<_> = folder.split('/').collect();
    for part in path.split('/') {
        match part {
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The state that a line leaves open for the next one.
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

#[test]
fn a_file_is_tests_where_its_module_says_so_and_not_by_its_name() {
    let of = |path: &str, text| Source::of(path.to_owned(), text);
    let mut sources = [
        of(
            "a/src/lib.rs",
            "mod conformance;\nmod shared;\n#[cfg(test)]\n#[expect(dead_code)]\nmod samples;\n",
        ),
        of("a/src/conformance.rs", "fn f() {}\n#[cfg(test)]\nmod tests;\n"),
        of("a/src/conformance/tests.rs", "#[path = \"../shared/fixture.rs\"]\nmod fixture;\n"),
        of("a/src/shared/fixture.rs", ""),
        of("a/src/samples.rs", ""),
        of("a/src/tests/mod.rs", ""),
        of("a/tests/outside.rs", ""),
    ];
    mark_tests(&mut sources);
    let tests: Vec<_> = sources.iter().map(|source| source.is_tests).collect();
    assert_eq!(tests, [false, false, true, true, true, false, true]);
}
