//! The arrays and objects of a JSON text as they stand there: an edit touches the item it is about, and sets a new one
//! apart as its neighbours are.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// An array or object in a JSON text.
#[derive(Debug)]
pub(super) struct Block<'t> {
    text: &'t str,
    range: Range<usize>,
    items: Vec<Item>,
}

/// An element, or a member with its key.
#[derive(Debug)]
struct Item {
    key: Option<Range<usize>>,
    value: Range<usize>,
}

impl Item {
    fn start(&self) -> usize {
        self.key.as_ref().map_or(self.value.start, |key| key.start)
    }

    fn end(&self) -> usize {
        self.value.end
    }
}

impl<'t> Block<'t> {
    /// The whole text, which is valid JSON; `None` where it is neither an array nor an object.
    pub(super) fn whole(text: &'t str) -> Option<Self> {
        let start = text.len() - text.trim_start().len();
        Self::read(text, start..text.trim_end().len())
    }

    fn read(text: &'t str, range: Range<usize>) -> Option<Self> {
        let Raw(items) = serde_json::from_str(text.get(range.clone())?).ok()?;
        let place = |raw: &RawValue| {
            let start = raw.get().as_ptr().addr().checked_sub(text.as_ptr().addr())?;
            Some(start..start + raw.get().len())
        };
        let items = items.into_iter().map(|(key, value)| {
            let key = match key {
                Some(key) => Some(place(key)?),
                None => None,
            };
            Some(Item { key, value: place(value)? })
        });
        Some(Self { text, range, items: items.collect::<Option<_>>()? })
    }

    pub(super) fn is_object(&self) -> bool {
        self.source().starts_with('{')
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// The array or object in this place.
    pub(super) fn child(&self, at: usize) -> Option<Self> {
        Self::read(self.text, self.items.get(at)?.value.clone())
    }

    /// The string in this place.
    pub(super) fn string(&self, at: usize) -> Option<String> {
        serde_json::from_str(self.value(at)).ok()
    }

    /// The text of the value in this place.
    pub(super) fn value(&self, at: usize) -> &'t str {
        self.items.get(at).map_or("", |item| self.slice(item.value.clone()))
    }

    /// The place of the first member whose key is so.
    pub(super) fn find(&self, is_key: impl Fn(&str) -> bool) -> Option<usize> {
        self.items.iter().position(|item| {
            let key = item.key.clone().map(|key| self.slice(key));
            key.and_then(|key| serde_json::from_str::<String>(key).ok()).is_some_and(|k| is_key(&k))
        })
    }

    /// Its text.
    fn source(&self) -> &'t str {
        self.slice(self.range.clone())
    }

    fn slice(&self, range: Range<usize>) -> &'t str {
        self.text.get(range).unwrap_or_default()
    }

    /// What stands before the first item: nothing, blanks, or a line break and the indentation.
    pub(super) fn lead(&self) -> &'t str {
        self.items.first().map_or("", |first| self.slice(self.range.start + 1..first.start()))
    }

    fn trail(&self) -> &'t str {
        self.items.last().map_or("", |last| self.slice(last.end()..self.range.end - 1))
    }

    /// What stands between two items, the comma included.
    fn gap(&self) -> String {
        match self.items.as_slice() {
            [.., before, last] => self.slice(before.end()..last.start()).to_owned(),
            _ if self.lead().is_empty() => if self.is_compact() { "," } else { ", " }.to_owned(),
            _ => format!(",{}", self.lead()),
        }
    }

    fn is_compact(&self) -> bool {
        !self.text.trim_ascii().contains(['\n', ' '])
    }

    /// A member of this object as its others are written.
    pub(super) fn member(&self, key: &str, value: &str) -> String {
        let colon = self.items.last().and_then(|item| Some((item.key.as_ref()?.end, item)));
        let colon = colon.map_or(": ", |(key, item)| self.slice(key..item.value.start));
        format!("{}{colon}{value}", quote(key))
    }

    /// Another block with these items, set apart as here.
    pub(super) fn like(&self, items: &[String]) -> String {
        let source = self.source();
        let open = source.get(..1).unwrap_or_default();
        let close = source.get(source.len().saturating_sub(1)..).unwrap_or_default();
        [open, self.lead(), &items.join(&self.gap()), self.trail(), close].concat()
    }

    /// The whole text with one item more, before all others.
    pub(super) fn prepend(&self, item: &str) -> String {
        let at = self.items.first().map_or(self.range.start + 1, Item::start);
        self.splice(at..at, &format!("{item}{}", self.gap()))
    }

    /// The whole text with one item more, behind the one in this place.
    pub(super) fn insert_after(&self, at: usize, item: &str) -> String {
        let at = self.items.get(at).map_or(self.range.end - 1, Item::end);
        self.splice(at..at, &format!("{}{item}", self.gap()))
    }

    /// The whole text without the item in this place, which is not the only one.
    pub(super) fn remove(&self, at: usize) -> Option<String> {
        let item = self.items.get(at)?;
        let before = at.checked_sub(1).and_then(|before| self.items.get(before));
        let range = match (before, self.items.get(at + 1)) {
            (Some(before), _) => before.end()..item.end(),
            (None, Some(next)) => item.start()..next.start(),
            (None, None) => return None,
        };
        Some(self.splice(range, ""))
    }

    /// The whole text with another value in this place.
    pub(super) fn replace(&self, at: usize, value: &str) -> Option<String> {
        Some(self.splice(self.items.get(at)?.value.clone(), value))
    }

    fn splice(&self, range: Range<usize>, with: &str) -> String {
        let (before, after) = (self.slice(0..range.start), self.slice(range.end..self.text.len()));
        [before, with, after].concat()
    }
}

/// A string as JSON.
pub(super) fn quote(text: &str) -> String {
    Value::from(text).to_string()
}

/// The items of an array or object, unread.
struct Raw<'t>(Vec<(Option<&'t RawValue>, &'t RawValue)>);

impl<'t> Deserialize<'t> for Raw<'t> {
    fn deserialize<D: Deserializer<'t>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'t> Visitor<'t> for RawVisitor {
    type Value = Raw<'t>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array or an object")
    }

    fn visit_seq<A: SeqAccess<'t>>(self, mut elements: A) -> Result<Raw<'t>, A::Error> {
        let mut items = Vec::new();
        while let Some(element) = elements.next_element()? {
            items.push((None, element));
        }
        Ok(Raw(items))
    }

    fn visit_map<A: MapAccess<'t>>(self, mut members: A) -> Result<Raw<'t>, A::Error> {
        let mut items = Vec::new();
        while let Some((key, value)) = members.next_entry()? {
            items.push((Some(key), value));
        }
        Ok(Raw(items))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every kind of layout; each array holds `"a"`.
    const LAYOUTS: [&str; 9] = [
        r#"["a"]"#,
        r#"[ "a" ]"#,
        r#"["a","b"]"#,
        r#"["a", "b"]"#,
        "[\n  \"a\"\n]\n",
        "\n[\r\n\t\"a\",\r\n\t\"b\"\r\n]",
        "[\n  \"a\"\n, \"b\"\n]",
        "[\"a\",\n \"b\", \"c\"]",
        "[\n  \"a\", \"b\",\n\n  \"c\" ]",
    ];

    #[test]
    fn what_is_added_can_be_removed_without_a_trace() {
        for text in LAYOUTS {
            let block = Block::whole(text).unwrap();
            for at in 0..block.len() {
                let added = block.insert_after(at, "\"new\"");
                let values: Vec<String> = serde_json::from_str(&added).unwrap();
                assert_eq!(values[at + 1], "new");
                assert_eq!(Block::whole(&added).unwrap().remove(at + 1).unwrap(), text);
            }
            let added = block.prepend("\"new\"");
            assert_eq!(serde_json::from_str::<Vec<String>>(&added).unwrap()[0], "new");
            assert_eq!(Block::whole(&added).unwrap().remove(0).unwrap(), text);
        }
    }

    #[test]
    fn a_new_item_stands_as_its_neighbours_do() {
        for (text, expected) in LAYOUTS.into_iter().zip([
            r#"["a","n"]"#,
            r#"[ "a", "n" ]"#,
            r#"["a","b","n"]"#,
            r#"["a", "b", "n"]"#,
            "[\n  \"a\",\n  \"n\"\n]\n",
            "\n[\r\n\t\"a\",\r\n\t\"b\",\r\n\t\"n\"\r\n]",
            "[\n  \"a\"\n, \"b\"\n, \"n\"\n]",
            "[\"a\",\n \"b\", \"c\", \"n\"]",
            "[\n  \"a\", \"b\",\n\n  \"c\",\n\n  \"n\" ]",
        ]) {
            let block = Block::whole(text).unwrap();
            assert_eq!(block.insert_after(block.len() - 1, "\"n\""), expected);
        }
    }

    #[test]
    fn members_are_found_by_what_their_keys_mean() {
        let text = r#" { "\u0061" : [1, {"x":2}] , "b": "\u00e9" } "#;
        let block = Block::whole(text).unwrap();
        assert!(block.is_object());
        assert_eq!(block.find(|key| key == "a"), Some(0));
        assert_eq!(block.find(|key| key == "c"), None);
        assert_eq!(block.string(1).as_deref(), Some("é"));
        assert_eq!(block.child(0).unwrap().child(1).unwrap().value(0), "2");
        assert!(block.child(1).is_none());
        assert_eq!(block.member("k", "1"), "\"k\": 1");
        assert_eq!(block.like(&["1".to_owned(), "2".to_owned()]), "{ 1 , 2 }");
        assert_eq!(block.replace(1, "3").unwrap(), r#" { "\u0061" : [1, {"x":2}] , "b": 3 } "#);
    }

    #[test]
    fn the_only_item_is_not_removed() {
        for text in ["[1]", "[]", r#"{"a": 1}"#] {
            assert_eq!(Block::whole(text).unwrap().remove(0), None);
        }
        for text in ["1", "\"a\"", ""] {
            assert!(Block::whole(text).is_none());
        }
    }
}
