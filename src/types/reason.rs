//! The reason of a failure: a text, the error that caused it, and advice.

use super::remedy::Remedy;
use super::text;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// An error of the system, of a driver or of a lower layer, kept as a value.
type Cause = Arc<dyn Error + Send + Sync>;

/// A text, the error that caused it, and advice. Text and advice do not repeat the cause. They end with a full stop
/// only if they are whole sentences, because `super::error` joins the three parts.
#[derive(Clone, Debug, Default)]
pub struct Reason {
    text: String,
    cause: Option<Cause>,
    advice: String,
    remedies: Vec<Remedy>,
}

/// A reason with the error that caused it.
pub(crate) fn because(text: impl Into<String>, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Reason {
    Reason { text: text.into(), cause: Some(cause.into().into()), ..Reason::default() }
}

impl Reason {
    /// Adds advice, which may be empty. It follows the causes and any earlier advice.
    pub fn advise(self, advice: impl Into<String>) -> Self {
        Reason { advice: one_line(&self.advice, &[], &advice.into()), ..self }
    }

    /// Adds a remedy: an option or another command that helps. It follows all advice.
    pub fn remedy(mut self, remedy: Remedy) -> Self {
        self.remedies.push(remedy);
        self
    }

    /// The same without one of these.
    pub fn without(mut self, remedy: &Remedy) -> Self {
        self.remedies.retain(|other| other != remedy);
        self
    }

    /// The remedies: options or other commands that help.
    pub(super) fn remedies(&self) -> &[Remedy] {
        &self.remedies
    }

    /// Puts the failed operation `what` in front of the text.
    pub fn during(self, what: &str) -> Self {
        let text = if self.text.is_empty() { what.to_owned() } else { format!("{what}: {}", self.text) };
        Reason { text, ..self }
    }

    /// The text without the cause and the advice.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The advice to the user; empty if there is none.
    pub(super) fn advice(&self) -> &str {
        &self.advice
    }

    /// The error that caused the failure.
    pub fn cause(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as &(dyn Error + 'static))
    }

    /// The text, the causes and the advice in one line.
    pub fn line(&self) -> String {
        one_line(&self.text, &causes(&self.text, self.cause()), &self.advice)
    }
}

impl From<String> for Reason {
    fn from(text: String) -> Self {
        Reason { text, ..Reason::default() }
    }
}

impl From<&str> for Reason {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<std::io::Error> for Reason {
    fn from(error: std::io::Error) -> Self {
        because("", error)
    }
}

/// Prints only the text. Callers that need the cause ask for it.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The texts of `first` and of the errors that caused it. Drivers often repeat the text of a cause in their own text.
/// A text that is part of `above` or of an earlier cause is left out.
pub(crate) fn causes(above: &str, first: Option<&(dyn Error + 'static)>) -> Vec<String> {
    let mut texts = vec![above.to_owned()];
    for cause in std::iter::successors(first, |cause| (*cause).source()) {
        let of_io = cause.downcast_ref::<std::io::Error>();
        let inner = of_io.and_then(|error| error.get_ref()).and_then(|inner| inner.downcast_ref());
        let text = match (cause.downcast_ref::<super::error::Error>().or(inner), of_io) {
            (Some(error), _) => error.summary(),
            (None, Some(error)) => text::of_system(error),
            (None, None) => text::without_numbers(&cause.to_string()).into_owned(),
        };
        let is_new = |text: &String| !texts.iter().any(|earlier| earlier.contains(text.as_str()));
        texts.extend(Some(text).filter(is_new));
    }
    texts.split_off(1)
}

/// Joins the parts as `text: cause: cause. Advice`.
pub(crate) fn one_line(text: &str, causes: &[String], advice: &str) -> String {
    let parts = std::iter::once(text).chain(causes.iter().map(String::as_str));
    let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    let mut line = parts.join(": ");
    if !line.is_empty() && !advice.is_empty() {
        line += if line.ends_with(['.', '!', '?']) { " " } else { ". " };
    }
    line + advice
}
