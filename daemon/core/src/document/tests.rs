use super::read::{Field, resource};
use super::*;

const LIMITS: DocumentLimits = DocumentLimits::DEFAULT;

fn json(text: &str) -> Result<Document, DocumentError> {
    Document::from_json(text, &LIMITS)
}

fn yaml(text: &str) -> Result<Document, DocumentError> {
    Document::from_yaml(text, &LIMITS)
}

fn string(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn number(text: &str) -> Value {
    Value::Number(text.to_owned())
}

/// The members of the root as `(key, line, column, value)`.
fn members(document: &Document) -> Vec<(&str, u32, u32, &Value)> {
    let Value::Map(members) = &document.root().value else { panic!("not an object") };
    members.iter().map(|(key, node)| (key.as_str(), node.line, node.column, &node.value)).collect()
}

#[test]
fn json_values_keep_their_place_and_their_text() {
    let document =
        json("{\r\n  \"ä\": 1.50,\n\t\"b\\u0041\": [true,\n null], \"c\": \"x\\n\"}").unwrap();
    let found = members(&document);
    assert_eq!(found[0], ("ä", 2, 8, &number("1.50")));
    assert_eq!((found[1].0, found[1].1, found[1].2), ("bA", 3, 13));
    let Value::List(elements) = found[1].3 else { panic!("not a list") };
    assert_eq!((elements[1].line, &elements[1].value), (4, &Value::Null));
    assert_eq!(found[2], ("c", 4, 14, &string("x\n")));
}

#[test]
fn yaml_scalars_are_what_their_form_says() {
    let text = "a: true\nb: 'true'\nc: 123\nd: \"123\"\ne: null\nf: ~\ng:\nh: 'null'\ni: yes\nj: 007\n\
                k: 1.50\nl: -1e3\nm: 0x1F\nn: .inf\no: |\n  two\n  lines\np: 2024-05-12T05:17:42Z\n";
    let document = yaml(text).unwrap();
    let values: Vec<Value> = members(&document).into_iter().map(|m| m.3.clone()).collect();
    let expected = [
        Value::Bool(true),
        string("true"),
        number("123"),
        string("123"),
        Value::Null,
        Value::Null,
        Value::Null,
        string("null"),
        string("yes"),
        string("007"),
        number("1.50"),
        number("-1e3"),
        string("0x1F"),
        string(".inf"),
        string("two\nlines\n"),
        string("2024-05-12T05:17:42Z"),
    ];
    assert_eq!(values, expected);
}

#[test]
fn yaml_keys_are_text() {
    let document = yaml("on: a\n123: b\nnull: c\n").unwrap();
    let keys: Vec<_> = members(&document).into_iter().map(|m| (m.0, m.1, m.2)).collect();
    assert_eq!(keys, [("on", 1, 5), ("123", 2, 6), ("null", 3, 7)]);
}

#[test]
fn byte_order_mark_and_windows_line_ends_are_read() {
    assert_eq!(members(&yaml("\u{feff}a: b\r\nc: d\r\n").unwrap())[1], ("c", 2, 4, &string("d")));
    assert_eq!(members(&json("\u{feff}{\"a\":\r\n\"b\"}").unwrap())[0], ("a", 2, 1, &string("b")));
}

#[test]
fn documents_without_content_are_empty() {
    for text in ["", " \n", "# only a comment\n", "---\n", "null", "~"] {
        assert_eq!(yaml(text), Err(DocumentError::Empty), "{text:?}");
    }
    for text in ["", "\r\n", "null"] {
        assert_eq!(json(text), Err(DocumentError::Empty), "{text:?}");
    }
}

#[test]
fn duplicate_keys_are_refused_with_key_and_line() {
    let twice = DocumentError::DuplicateKey { line: 3, key: "a".to_owned() };
    assert_eq!(json("{\"a\": 1,\n\"b\": 2,\n\"\\u0061\": 3}"), Err(twice.clone()));
    assert_eq!(yaml("a: 1\nb: 2\n'a': 3\n"), Err(twice.clone()));
    assert_eq!(yaml("{a: 1,\n b: 2,\n a: 3}"), Err(twice.clone()));
    assert_eq!(twice.to_string(), "line 3: the key `a` is here a second time; keep one of the two");
    let nested = DocumentError::DuplicateKey { line: 1, key: "b".to_owned() };
    assert_eq!(json(r#"{"a": [{"b": 1, "b": 1}]}"#), Err(nested));
}

#[test]
fn yaml_features_with_hidden_meaning_are_refused() {
    let cases = [
        ("a: 1\nb: &x 2\n", 2, "YAML anchors are not read"),
        ("a: &x {b: 1}\n", 1, "YAML anchors are not read"),
        ("a: 1\nb: *x\n", 2, "YAML aliases are not read"),
        ("*x : 1\n", 1, "YAML aliases are not read"),
        ("a: 1\n<<: {b: 1}\n", 2, "YAML merge keys are not read"),
        ("a: !!str 1\n", 1, "YAML tags are not read"),
        ("a: !secret x\n", 1, "YAML tags are not read"),
        ("!!map {a: 1}\n", 1, "YAML tags are not read"),
        ("[a]: 1\n", 1, "a list or an object cannot be a key"),
        ("a: 1\n---\nb: 1\n", 2, "a second YAML document"),
    ];
    for (text, line, feature) in cases {
        let unsupported = DocumentError::Unsupported { line, feature };
        assert_eq!(yaml(text), Err(unsupported), "{text:?}");
    }
    assert!(matches!(
        yaml("%TAG ! tag:x,1:\n---\na: 1\n"),
        Err(DocumentError::Syntax { line: 1, .. })
    ));
}

#[test]
fn nesting_ends_at_the_limit() {
    let deep = |open: &str, close: &str, levels: usize| open.repeat(levels) + &close.repeat(levels);
    let max = LIMITS.depth_max;
    json(&deep("[", "]", max)).unwrap();
    yaml(&deep("[", "]", max)).unwrap();
    for levels in [max + 1, max + 2, 1_000, 100_000] {
        let too_deep = Err(DocumentError::TooDeep { line: 1, max });
        assert_eq!(json(&deep("[", "]", levels)), too_deep, "{levels}");
        assert_eq!(json(&deep("{\"a\":", "}", levels).replace(":}", ":1}")), too_deep, "{levels}");
        assert_eq!(yaml(&deep("[", "]", levels)), too_deep, "{levels}");
        assert_eq!(yaml(&deep("{a: ", "}", levels)), too_deep, "{levels}");
    }
    let block: String = (0..1_000).map(|level| " ".repeat(level) + "a:\n").collect();
    assert!(matches!(yaml(&block), Err(DocumentError::TooDeep { max: 32, .. })));
    assert!(matches!(yaml(&"- ".repeat(1_000)), Err(DocumentError::TooDeep { line: 1, max: 32 })));
}

#[test]
fn bytes_and_values_end_at_the_limit() {
    let limits = DocumentLimits { bytes_max: 9, depth_max: 2, nodes_max: 4 };
    Document::from_json("[1, 2, 3]", &limits).unwrap();
    let large = DocumentError::TooLarge { given: 10, max: 9 };
    assert_eq!(Document::from_json("[1, 2, 33]", &limits), Err(large.clone()));
    assert_eq!(Document::from_yaml("[1, 2, 33]", &limits), Err(large.clone()));
    assert_eq!(Document::from_json_bytes(&[0xff; 10], &limits), Err(large));
    let many = Err(DocumentError::TooManyNodes { line: 1, max: 4 });
    assert_eq!(Document::from_json("[1,2,3,4]", &limits), many);
    assert_eq!(Document::from_yaml("[1,2,3,4]", &limits), many);
}

#[test]
fn what_is_not_the_format_is_refused_with_its_place() {
    let lines = [
        (json("{\"a\": 1,\n}"), 2),
        (json("{} {}"), 1),
        (json("{\"a\": 01}"), 1),
        (json("{'a': 1}"), 1),
        (json("[1,\n\"\u{1}\"]"), 2),
        (json("[1,\n\"\\ud800\"]"), 2),
        (json("// x\n{}"), 1),
        (json("[NaN]"), 1),
        (yaml("a: [1,\n"), 1),
        (yaml("a:\n\tb: 2\n"), 2),
        (yaml("a: b: c\n"), 1),
        (yaml("a: 'x\n"), 2),
    ];
    for (index, (parsed, expected)) in lines.into_iter().enumerate() {
        match parsed {
            Err(DocumentError::Syntax { line, .. }) => assert_eq!(line, expected, "{index}"),
            other => panic!("{index}: {other:?}"),
        }
    }
}

#[test]
fn numbers_of_any_size_keep_their_text() {
    let huge = "9".repeat(10_000);
    assert_eq!(json(&huge).unwrap().root().value, number(&huge));
    assert_eq!(yaml(&huge).unwrap().root().value, number(&huge));
    assert_eq!(json("1e999999999").unwrap().root().value, number("1e999999999"));
}

#[test]
fn bytes_that_are_not_text_are_refused_with_their_line() {
    let broken = Err(DocumentError::NotUtf8 { line: 2 });
    assert_eq!(Document::from_json_bytes(b"{\n\"\xff\": 1}", &LIMITS), broken);
    assert_eq!(Document::from_file("p.yaml", b"a: 1\nb: \xc3\x28\n", &LIMITS), broken);
}

#[test]
fn the_file_name_says_the_format() {
    for (name, text) in [("p.json", "{\"a\":1}"), ("d/p.yaml", "a: 1"), ("p.x.yml", "a: 1")] {
        Document::from_file(name, text.as_bytes(), &LIMITS).unwrap();
    }
    for name in ["policy", "p.txt", "json", "p.JSON"] {
        let refused = Document::from_file(name, b"{}", &LIMITS).unwrap_err().to_string();
        assert_eq!(refused, format!("`{name}` must be a .json, .yaml or .yml file"));
    }
    Document::from_file("p.json", b"a: 1", &LIMITS).unwrap_err();
}

#[test]
fn a_document_holds_one_resource_or_a_list_of_them() {
    let lines = |text: &str| -> Vec<u32> {
        yaml(text).unwrap().elements().iter().map(|element| element.root().line).collect()
    };
    assert_eq!(lines("\na: 1\n"), [2]);
    assert_eq!(lines("- a: 1\n- b: 1\n  c: 1\n"), [1, 2]);
    assert_eq!(lines("[]"), [0; 0]);
}

/// The answer of `read` for `text`, or the errors as shown.
fn reading<T>(text: &str, read: impl FnOnce(&Field<'_>) -> Option<T>) -> Result<T, String> {
    resource(yaml(text).unwrap().root(), read).map_err(|errors| errors.to_string())
}

const COLOURS: [(&str, u32, u8); 3] = [("NO_COLOUR", 0, 0), ("RED", 1, 1), ("LIGHT_BLUE", 7, 2)];

#[test]
fn tolerance_is_that_of_googles_tools() {
    let list = |text: &str| {
        reading(text, |root| {
            let elements = root.object(&["trustedNames"])?.list("trustedNames");
            elements.iter().map(|name| name.string().map(str::to_owned)).collect::<Option<Vec<_>>>()
        })
    };
    assert_eq!(list("trustedNames: [a, b]"), Ok(vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(list("trusted_names: [a]"), Ok(vec!["a".to_owned()]));
    assert_eq!(list("trustedNames: a"), Ok(vec!["a".to_owned()]));
    assert_eq!(list("trustedNames:"), Ok(vec![]));
    assert_eq!(list("{}"), Ok(vec![]));
    let text = |text: &str| reading(text, |root| Some(root.object(&["note"])?.text("note")));
    assert_eq!(text("note: x"), Ok("x".to_owned()));
    assert_eq!(text("note: []"), Ok(String::new()));
    assert_eq!(text("note: null"), Ok(String::new()));
    assert_eq!(text("note: [x]"), Err("line 1: note: expected a string, not a list".to_owned()));
    let colour = |text: &str| reading(text, |root| root.enumeration(&COLOURS));
    for (given, value) in [("RED", 1), ("1", 1), ("'7'", 2), ("LIGHT_BLUE", 2)] {
        assert_eq!(colour(given), Ok(value), "{given}");
    }
    let bytes = |text: &str| reading(text, |root| root.bytes());
    for given in ["+/8=", "+/8", "-_8=", "-_8"] {
        assert_eq!(bytes(given), Ok(vec![0xfb, 0xff]), "{given}");
    }
    bytes("+_8=").unwrap_err();
    bytes("'@'").unwrap_err();
}

#[test]
fn whole_numbers_may_stand_in_strings_and_have_bounds() {
    let read = |text: &str| {
        reading(text, |root| root.object(&["n"])?.required("n")?.integer(1, 2_147_483_647))
    };
    for (text, number) in [("n: 1", 1), ("n: '30'", 30), ("n: 2147483647", 2_147_483_647)] {
        assert_eq!(read(text), Ok(number), "{text}");
    }
    for text in ["n: 0", "n: -1", "n: 2147483648", "n: 1.5", "n: 1e99", "n: x", "n: ''"] {
        let error = "line 1: n: expected a whole number from 1 to 2147483647";
        assert_eq!(read(text), Err(error.to_owned()), "{text}");
    }
    let error = "line 1: n: expected a whole number, not a boolean";
    assert_eq!(read("n: true"), Err(error.to_owned()));
}

#[test]
fn booleans_are_true_and_false_only() {
    let read = |text: &str| reading(text, |root| root.object(&["b"])?.required("b")?.boolean());
    assert_eq!((read("b: true"), read("b: false")), (Ok(true), Ok(false)));
    for (text, kind) in [("b: 'true'", "a string"), ("b: 1", "a number"), ("b: {}", "an object")] {
        assert_eq!(read(text), Err(format!("line 1: b: expected true or false, not {kind}")));
    }
}

#[test]
fn every_error_is_told_at_once_with_its_path_and_line() {
    let text = "colour: BLEU\nnames:\n- a\n- 1\nrules:\n  us.prod:\n    colour: REDD\n    shade: 1\nNames: x\n\
                light_blue: a\nlightBlue: b\n";
    let told = reading(text, |root| {
        let object = root.object(&["colour", "names", "rules", "lightBlue", "must"])?;
        object.get("colour").and_then(|field| field.enumeration(&COLOURS));
        assert_eq!(object.list("names").iter().filter_map(Field::string).count(), 1);
        for (_, rule) in object.get("rules")?.entries() {
            let rule = rule.object(&["colour", "must"])?;
            rule.get("colour").and_then(|field| field.enumeration(&COLOURS));
        }
        object.required("must");
        Some(())
    });
    let expected = "\
line 1: colour: unknown value \"BLEU\"; one of NO_COLOUR, RED, LIGHT_BLUE
line 1: must: required; set it
line 4: names[1]: expected a string, not a number: put it in quotes
line 7: rules[\"us.prod\"].colour: unknown value \"REDD\"; did you mean \"RED\"?; one of NO_COLOUR, RED, LIGHT_BLUE
line 8: rules[\"us.prod\"].shade: unknown field
line 9: Names: unknown field; did you mean \"names\"?
line 11: lightBlue: `lightBlue` is set a second time";
    assert_eq!(told, Err(expected.to_owned()));
}

#[test]
fn errors_are_kept_up_to_a_hundred() {
    let text = format!("[{}]", "1, ".repeat(250));
    let errors = resource(json(&text.replace(", ]", "]")).unwrap().root(), |root| {
        Some(root.elements().iter().filter_map(Field::string).count())
    })
    .unwrap_err();
    assert_eq!((errors.errors.len(), errors.omitted), (100, 150));
    assert!(errors.to_string().ends_with("\nand 150 more"));
}
