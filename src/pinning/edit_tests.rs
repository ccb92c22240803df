use std::slice;

use proptest::prelude::*;

use super::*;
use crate::pinning::Algorithm;

fn pin(name: &str) -> Pin {
    Pin::of_spki(Algorithm::Sha256, name.as_bytes())
}

fn rule(name: &str, role: Role) -> Rule {
    Rule { pin: pin(name), role }
}

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap()
}

/// `A` to `E` stand for pins in the texts of these tests.
fn filled(text: &str) -> String {
    ["A", "B", "C", "D", "E"].iter().fold(text.to_owned(), |text, name| {
        text.replace(&format!("\"{name}\""), &format!("\"{}\"", pin(name)))
    })
}

fn added(text: &str, host: &str, rules: &[Rule]) -> String {
    add(&filled(text), &pattern(host), rules, End::Last).unwrap().text
}

#[test]
fn a_pin_is_added_in_the_manner_of_the_file() {
    for (text, host, rule, expected) in [
        // Lists.
        (r#"{"a.example":["A"]}"#, "a.example", rule("B", Role::Any), r#"{"a.example":["A","B"]}"#),
        (
            "{\n\t\"hosts\": {\n\t\t\"A.Example.\": [\n\t\t\t\"A\",\n\t\t\t\"B\"\n\t\t]\n\t}\n}\n",
            "a.example",
            rule("C", Role::Any),
            "{\n\t\"hosts\": {\n\t\t\"A.Example.\": [\n\t\t\t\"A\",\n\t\t\t\"B\",\n\t\t\t\"C\"\n\t\t]\n\t}\n}\n",
        ),
        // A lone pin.
        (
            r#"{ "a.example": "A" }"#,
            "a.example",
            rule("B", Role::Any),
            r#"{ "a.example": ["A", "B"] }"#,
        ),
        // Objects.
        (
            "{\r\n  \"a.example\": {\r\n    \"mode\": \"report\",\r\n    \"leaf\": \"A\",\r\n    \"expires\": \"2027-03-01T00:00:00Z\"\r\n  }\r\n}",
            "a.example",
            rule("B", Role::Ca),
            "{\r\n  \"a.example\": {\r\n    \"mode\": \"report\",\r\n    \"leaf\": \"A\",\r\n    \"ca\": [\"B\"],\r\n    \"expires\": \"2027-03-01T00:00:00Z\"\r\n  }\r\n}",
        ),
        (
            r#"{"a.example": {"leaf": "A"}}"#,
            "a.example",
            rule("B", Role::Leaf),
            r#"{"a.example": {"leaf": ["A", "B"]}}"#,
        ),
        // A list that becomes an object.
        (
            r#"{"a.example": ["A"]}"#,
            "a.example",
            rule("B", Role::Leaf),
            r#"{"a.example": { "pins": ["A"], "leaf": ["B"] }}"#,
        ),
        (
            "{\n  \"hosts\": {\n    \"a.example\": [\n      \"A\"\n    ]\n  }\n}\n",
            "a.example",
            rule("B", Role::Leaf),
            "{\n  \"hosts\": {\n    \"a.example\": {\n      \"pins\": [\n        \"A\"\n      ],\n      \"leaf\": [\n        \"B\"\n      ]\n    }\n  }\n}\n",
        ),
        // A new host, as the one before.
        (
            "{\n  \"a.example\": [\"A\", \"B\"]\n}\n",
            "*.b.example:8443",
            rule("C", Role::Any),
            "{\n  \"a.example\": [\"A\", \"B\"],\n  \"*.b.example:8443\": [\"C\"]\n}\n",
        ),
        (
            "{\n  \"a.example\": { \"leaf\": [\"A\"], \"ca\": [\"B\"] }\n}\n",
            "b.example",
            rule("C", Role::Leaf),
            "{\n  \"a.example\": { \"leaf\": [\"A\"], \"ca\": [\"B\"] },\n  \"b.example\": { \"leaf\": [\"C\"] }\n}\n",
        ),
    ] {
        assert_eq!(added(text, host, &[rule]), filled(expected), "{text}");
    }
}

#[test]
fn several_pins_keep_their_order_at_either_end() {
    let (text, host) = (filled(r#"{"a.example": ["A"]}"#), pattern("a.example"));
    let rules = ["B", "A", "C", "B"].map(|name| rule(name, Role::Any));
    let edit = add(&text, &host, &rules, End::First).unwrap();
    assert_eq!(edit.text, filled(r#"{"a.example": ["C", "B", "A"]}"#));
    let edit = add(&text, &host, &rules, End::Last).unwrap();
    assert_eq!(edit.text, filled(r#"{"a.example": ["A", "B", "C"]}"#));
    assert_eq!(edit.done, [rules[0].clone(), rules[2].clone()]);
    assert_eq!(edit.skipped, [rules[1].clone(), rules[3].clone()]);
}

#[test]
fn what_is_there_already_is_skipped() {
    let hex = data_encoding::HEXLOWER.encode(pin("A").digest());
    for (text, role) in [
        (r#"{"a.example": "A"}"#.to_owned(), Role::Any),
        // One for any position says more.
        (r#"{"a.example": "A"}"#.to_owned(), Role::Leaf),
        (format!(r#"{{"a.example": "3 1 1 {hex}"}}"#), Role::Leaf),
        (format!(r#"{{"a.example": {{"ca": "spki:sha256:{hex}"}}}}"#), Role::Ca),
    ] {
        let edit =
            add(&filled(&text), &pattern("a.example"), &[rule("A", role)], End::Last).unwrap();
        assert_eq!(edit.text, filled(&text));
        assert_eq!((edit.done.len(), edit.skipped.len()), (0, 1));
    }
}

#[test]
fn a_pin_is_removed_in_whatever_form_it_stands() {
    let hex = data_encoding::HEXLOWER.encode(pin("A").digest());
    let [a, b] = ["A", "B"].map(|name| pin(name).to_string());
    for (text, role, expected) in [
        (
            r#"{"a.example": ["A", "B"]}"#.to_owned(),
            Role::Any,
            r#"{"a.example": ["B"]}"#.to_owned(),
        ),
        (
            r#"{"a.example": ["B", "A"]}"#.to_owned(),
            Role::Any,
            r#"{"a.example": ["B"]}"#.to_owned(),
        ),
        (
            format!(r#"{{"a.example": ["spki:sha256:{hex}", "B"]}}"#),
            Role::Any,
            r#"{"a.example": ["B"]}"#.to_owned(),
        ),
        (format!(r#"{{"a.example": "{a};{b}"}}"#), Role::Any, r#"{"a.example": "B"}"#.to_owned()),
        (
            format!(r#"{{"a.example": ["{b};{a}"]}}"#),
            Role::Any,
            r#"{"a.example": ["B"]}"#.to_owned(),
        ),
        // From every list, and the list with it.
        (
            r#"{"a.example": {"pins": ["B"], "leaf": ["A"], "ca": "A"}}"#.to_owned(),
            Role::Any,
            r#"{"a.example": {"pins": ["B"]}}"#.to_owned(),
        ),
        // From one.
        (
            r#"{"a.example": {"leaf": ["A"], "ca": "A", "mode": "report"}}"#.to_owned(),
            Role::Leaf,
            r#"{"a.example": {"ca": "A", "mode": "report"}}"#.to_owned(),
        ),
        (
            format!(r#"{{"a.example": ["B", "2 1 1 {hex}"]}}"#),
            Role::Ca,
            r#"{"a.example": ["B"]}"#.to_owned(),
        ),
    ] {
        let edit = remove(&filled(&text), &pattern("a.example"), &[rule("A", role)]).unwrap();
        assert_eq!(edit.text, filled(&expected), "{text}");
    }
}

#[test]
fn a_host_is_removed_whole() {
    let text =
        filled("{\n  \"hosts\": {\n    \"a.example\": \"A\",\n    \"b.example\": [\"B\"]\n  }\n}");
    let edit = remove_host(&text, &pattern("A.example")).unwrap();
    assert_eq!(edit.text, filled("{\n  \"hosts\": {\n    \"b.example\": [\"B\"]\n  }\n}"));
    assert_eq!(edit.done, [rule("A", Role::Any)]);
    let error = remove_host(&edit.text, &pattern("b.example")).unwrap_err();
    assert!(error.problem.contains("only host"), "{error}");
}

#[test]
fn what_would_be_no_policy_is_refused() {
    let text = filled(r#"{"a.example": ["A", "B"], "b.example": "C"}"#);
    let [a, b, c] = ["A", "B", "C"].map(|name| rule(name, Role::Any));
    let host = pattern("a.example");
    for (outcome, problem) in [
        (remove(&text, &host, &[a.clone(), b.clone()]), "no pin would be left"),
        (remove(&text, &host, slice::from_ref(&c)), "has no pin"),
        (remove(&text, &host, &[rule("A", Role::Leaf)]), "has no pin"),
        (remove(&text, &pattern("*.example"), slice::from_ref(&a)), "has no entry"),
        (remove(&text, &pattern("a.example:443"), slice::from_ref(&a)), "has no entry"),
        (remove_host(&text, &pattern("c.example")), "has no entry"),
        (add(&filled(r#"["A"]"#), &host, slice::from_ref(&b), End::Last), "bare list"),
        (add(&filled(r#""A""#), &host, slice::from_ref(&b), End::Last), "bare list"),
        (add("{}", &host, slice::from_ref(&b), End::Last), "lists no hosts"),
        (add("// comment\n{}", &host, slice::from_ref(&b), End::Last), "not JSON"),
        (
            add(r#"{"a.example": []}"#, &host, slice::from_ref(&b), End::Last),
            "list of pins is empty",
        ),
    ] {
        let error = outcome.unwrap_err();
        assert!(error.to_string().contains(problem), "{error}");
    }
}

/// A policy's text in any layout: blanks are taken from a list in turn.
fn written(shapes: &[Shape], is_shorthand: bool, blanks: &[&str]) -> String {
    let mut turn = blanks.iter().cycle();
    let mut text = String::new();
    let mut put = |token: &str| {
        text.push_str(token);
        text.push_str(turn.next().unwrap_or(&""));
    };
    if !is_shorthand {
        ["{", "\"version\"", ":", "1", ",", "\"hosts\"", ":"].into_iter().for_each(&mut put);
    }
    put("{");
    for (index, shape) in shapes.iter().enumerate() {
        if index > 0 {
            put(",");
        }
        put(&format!("\"h{index}.example\""));
        put(":");
        match shape {
            Shape::Lone(rule) => put(&quote(&rule.to_string())),
            Shape::List(rules) => put_list(rules.iter().map(ToString::to_string), &mut put),
            Shape::Object(lists, expires) => {
                put("{");
                let lists = lists.iter().zip(LISTS).filter(|(pins, _)| !pins.is_empty());
                for (at, (pins, (name, _))) in lists.enumerate() {
                    if at > 0 {
                        put(",");
                    }
                    put(&quote(name));
                    put(":");
                    put_list(pins.iter().map(ToString::to_string), &mut put);
                }
                if *expires {
                    [",", "\"expires\"", ":", "\"2027-03-01T00:00:00Z\""]
                        .into_iter()
                        .for_each(&mut put);
                }
                put("}");
            }
        }
    }
    put("}");
    if !is_shorthand {
        put("}");
    }
    text
}

fn put_list(pins: impl Iterator<Item = String>, put: &mut impl FnMut(&str)) {
    put("[");
    for (index, pin) in pins.enumerate() {
        if index > 0 {
            put(",");
        }
        put(&quote(&pin));
    }
    put("]");
}

#[derive(Clone, Debug)]
enum Shape {
    Lone(Rule),
    List(Vec<Rule>),
    Object([Vec<Pin>; 3], bool),
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let roles = prop_oneof![Just(Role::Any), Just(Role::Leaf), Just(Role::Ca)];
    (0..6_u8, roles).prop_map(|(name, role)| rule(&name.to_string(), role))
}

fn any_shape() -> impl Strategy<Value = Shape> {
    let pins =
        |least| prop::collection::vec((0..6_u8).prop_map(|name| pin(&name.to_string())), least..3);
    prop_oneof![
        any_rule().prop_map(Shape::Lone),
        prop::collection::vec(any_rule(), 1..4).prop_map(Shape::List),
        (pins(1), pins(0), pins(0), any::<bool>())
            .prop_map(|(pins, leaf, ca, expires)| Shape::Object([pins, leaf, ca], expires)),
    ]
}

fn any_text() -> impl Strategy<Value = String> {
    let blank = prop_oneof![
        3 => Just(""), 2 => Just(" "), 1 => Just("\n  "), 1 => Just("\r\n\t"), 1 => Just("\n\n    ")
    ];
    let shapes = prop::collection::vec(any_shape(), 1..4);
    (shapes, any::<bool>(), prop::collection::vec(blank, 1..9))
        .prop_map(|(shapes, is_shorthand, blanks)| written(&shapes, is_shorthand, &blanks))
}

/// Whether the entry keeps its shape when a rule of this role is added.
fn has_room(text: &str, host: &Pattern, role: Role) -> bool {
    let hosts = hosts(text).unwrap();
    let Some(at) = hosts.find(|key| is_pattern(key, host)) else {
        return true;
    };
    hosts.child(at).is_some_and(|entry| entry.is_object() || role == Role::Any)
}

proptest! {
    /// [`check`] sees to it that the result means what it should; here, that there is one.
    #[test]
    fn what_is_added_and_then_removed_leaves_no_trace(
        text in any_text(), index in 0..4_u8, rule in any_rule(), first: bool
    ) {
        let host = pattern(&format!("h{index}.example"));
        let before = Policy::from_json(&text).unwrap();
        let end = if first { End::First } else { End::Last };
        let edit = add(&text, &host, slice::from_ref(&rule), end).unwrap();
        if edit.done.is_empty() {
            prop_assert_eq!(&edit.text, &text);
            return Ok(());
        }
        let is_new = rules_of(&before, &host).is_empty();
        let back = if is_new { remove_host(&edit.text, &host) } else { remove(&edit.text, &host, &edit.done) };
        // The same pin may have stood in another list, and an `any` is removed from all.
        let is_alone = is_new || rules_of(&before, &host).iter().all(|other| other.pin != rule.pin);
        if is_alone {
            let back = back.unwrap();
            prop_assert_eq!(Policy::from_json(&back.text).unwrap(), before);
            if has_room(&text, &host, rule.role) {
                prop_assert_eq!(back.text, text);
            }
        }
    }

    #[test]
    fn pins_are_removed_or_the_reason_is_told(
        text in any_text(), index in 0..4_u8, rules in prop::collection::vec(any_rule(), 1..4)
    ) {
        let host = pattern(&format!("h{index}.example"));
        match remove(&text, &host, &rules) {
            Ok(edit) => {
                prop_assert!(edit.text.len() < text.len() && !edit.done.is_empty());
                let left = rules_of(&Policy::from_json(&edit.text).unwrap(), &host);
                prop_assert!(edit.done.iter().all(|gone| !left.contains(gone)));
            }
            Err(error) => prop_assert_ne!(error, unclear()),
        }
        match remove_host(&text, &host) {
            Ok(edit) => prop_assert!(rules_of(&Policy::from_json(&edit.text).unwrap(), &host).is_empty()),
            Err(error) => prop_assert_ne!(error, unclear()),
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "[\\[\\]{}\",:a-c0-9 \n]{0,40}") {
        let host = pattern("a.example");
        let _ = add(&text, &host, &[rule("A", Role::Leaf)], End::First);
        let _ = remove(&text, &host, &[rule("A", Role::Any)]);
        let _ = remove_host(&text, &host);
    }
}
