//! XML of users: no entity is expanded, nothing is fetched.

use roxmltree::{Document, Node, ParsingOptions};

use super::super::error::Invalid;

/// Elements in one another, at most: what is written by people stays far below.
pub(super) const DEPTH: usize = 64;

/// Parses a document.
///
/// # Errors
///
/// It is not well-formed, or declares entities: some hundred bytes of them can stand for gigabytes.
pub(super) fn parse(text: &str) -> Result<Document<'_>, Invalid> {
    if text.contains("<!ENTITY") {
        return Err(Invalid::new("it declares entities", "write out what they stand for"));
    }
    // Property lists begin with a document type; without declarations in it there is nothing to expand.
    let options =
        ParsingOptions { allow_dtd: true, nodes_limit: 1_000_000, ..ParsingOptions::default() };
    let text = text.trim_start_matches('\u{feff}').trim_start();
    Document::parse_with_options(text, options).map_err(|error| {
        let told = error.to_string().replace(char::is_control, "\u{fffd}");
        Invalid::new(format!("it is not XML: {told}"), "check the file")
    })
}

pub(super) fn elements<'a, 'input>(
    node: Node<'a, 'input>,
) -> impl Iterator<Item = Node<'a, 'input>> {
    node.children().filter(Node::is_element)
}

/// The text in an element that has nothing else in it.
pub(super) fn text(node: Node<'_, '_>) -> Result<String, Invalid> {
    if let Some(child) = elements(node).next() {
        let (name, child) = (node.tag_name().name(), child.tag_name().name());
        return Err(Invalid::new(
            format!("<{child}> stands in <{name}>"),
            "write text alone in it",
        ));
    }
    let parts = node.children().filter(Node::is_text).filter_map(|part| part.text());
    Ok(parts.collect::<String>().trim().to_owned())
}

/// Text as it stands in an element.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
