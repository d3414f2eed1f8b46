//! Trouble with one edge, said once: a failure is logged when it begins or changes, and when it is over.
//!
//! From the outcome of each try of one thing (asking the gate, reporting, reading the ConfigMap) to at most one log
//! line per change. Without it a gate that is down for an hour would fill the log.

use std::error::Error;

/// What is known of one edge's failures.
#[derive(Debug)]
pub(crate) struct Trouble {
    what: &'static str,
    said: Option<String>,
}

impl Trouble {
    /// `what` names the attempt, as in "ask the gate".
    pub(crate) const fn new(what: &'static str) -> Self {
        Self { what, said: None }
    }

    /// A try failed. Returns whether that was news.
    pub(crate) fn failed(&mut self, error: &dyn Error) -> bool {
        let text = chain(error);
        if self.said.as_ref() == Some(&text) {
            return false;
        }
        tracing::warn!(attempt = self.what, error = %text, "failing, will try again");
        self.said = Some(text);
        true
    }

    /// A try succeeded.
    pub(crate) fn over(&mut self) {
        if self.said.take().is_some() {
            tracing::info!(attempt = self.what, "works again");
        }
    }
}

/// An error with its causes on one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        let said = source.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_failure_is_news_once() {
        let (away, refused) = (std::io::Error::other("away"), std::io::Error::other("refused"));
        let mut trouble = Trouble::new("ask");
        assert!(trouble.failed(&away));
        assert!(!trouble.failed(&away));
        assert!(trouble.failed(&refused));
        trouble.over();
        assert!(trouble.failed(&refused));
    }
}
