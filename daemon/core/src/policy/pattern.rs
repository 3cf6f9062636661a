//! Allowlist patterns, grammar A.

/// One `namePattern`, compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowlistPattern {
    text: Box<str>,
}

impl AllowlistPattern {
    /// Stub.
    pub fn parse(text: &str) -> Result<Self, ()> {
        Ok(Self { text: text.into() })
    }

    /// Stub.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Stub.
    pub fn matches(&self, image: &str) -> bool {
        *self.text == *image
    }
}
