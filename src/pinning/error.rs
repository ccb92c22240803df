//! The one error of this module: something the user wrote is malformed.

/// A malformed pin, pattern or policy: `ERR_TLS_PIN_INVALID`.
///
/// Displays as `place: problem; fix`, without the place where there is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}{}{problem}; {fix}", if place.is_empty() { "" } else { ": " })]
pub struct Invalid {
    /// Where in the policy it stands: `hosts["a.example"].pins[2]`, or empty.
    pub place: String,
    /// What is wrong.
    pub problem: String,
    /// What to write instead.
    pub fix: String,
}

impl Invalid {
    /// An error without a place yet; see [`Invalid::at`].
    pub fn new(problem: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { place: String::new(), problem: problem.into(), fix: fix.into() }
    }

    /// Puts `prefix` before the place, so that each level adds its own part on the way out.
    #[must_use]
    pub fn at(mut self, prefix: impl AsRef<str>) -> Self {
        self.place.insert_str(0, prefix.as_ref());
        self
    }
}

/// The most characters of a user's text that a message repeats.
const QUOTED: usize = 80;

/// A user's text as a message shows it: in quotes, escaped, cut to a bearable length.
pub(super) fn quoted(text: &str) -> String {
    let mut characters = text.chars();
    let shown: String = characters.by_ref().take(QUOTED).collect();
    let more = if characters.next().is_some() { "…" } else { "" };
    format!("{shown:?}{more}")
}

/// The most characters that a message repeats of a text which should have been a pin.
const HINT: usize = 8;

/// The beginning of a text that was given for a pin: enough to find it again, too little to betray a private
/// key that was pasted in its place.
pub(super) fn hint(text: &str) -> String {
    let length = text.chars().count();
    if length <= 2 * HINT {
        return quoted(text);
    }
    let shown: String = text.chars().take(HINT).collect();
    format!("{shown:?}… ({length} characters)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_level_prefixes_its_place() {
        let error =
            Invalid::new("is empty", "write a pin").at("[2]").at(".pins").at("hosts[\"a\"]");
        assert_eq!(error.to_string(), "hosts[\"a\"].pins[2]: is empty; write a pin");
        assert_eq!(Invalid::new("is empty", "write a pin").to_string(), "is empty; write a pin");
    }

    #[test]
    fn a_quoted_text_is_short_and_printable() {
        assert_eq!(quoted("a\"\n\u{1b}[31m\u{202e}"), r#""a\"\n\u{1b}[31m\u{202e}""#);
        assert_eq!(quoted(&"é".repeat(81)), format!("\"{}\"…", "é".repeat(80)));
    }
}
