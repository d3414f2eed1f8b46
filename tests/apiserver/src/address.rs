//! What a URL names.
//!
//! From a path and a query to a kind, a place and options. Deliberately absent: discovery, and any group that is not served.

use crate::kinds::{Kind, Kinds};
use crate::status::{Cause, Refusal, invalid_options, no_such_path};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A place that can be asked.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    pub(crate) kind: Arc<Kind>,
    /// Empty for all, and for what has none.
    pub(crate) namespace: String,
    /// Empty for a list.
    pub(crate) name: String,
    /// Empty for the object itself.
    pub(crate) subresource: String,
}

/// Why a path is none.
pub(crate) enum Nowhere {
    /// No such group: a page, not a status.
    Group,
    /// No such resource in the group.
    Resource(Refusal),
}

impl Address {
    pub(crate) fn parse(kinds: &Kinds, path: &str) -> Result<Self, Nowhere> {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (group, version, rest) = match &parts[..] {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return Err(Nowhere::Group),
        };
        if !kinds.has_group(group, version) {
            return Err(Nowhere::Group);
        }
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() && *rest != ["status"] => {
                (*namespace, rest)
            }
            rest => ("", rest),
        };
        let nowhere = || Nowhere::Resource(no_such_path());
        let (plural, name, subresource) = match rest {
            [plural] => (*plural, "", ""),
            [plural, name] => (*plural, *name, ""),
            [plural, name, subresource] => (*plural, *name, *subresource),
            _ => return Err(nowhere()),
        };
        let kind = kinds.find(group, version, plural).ok_or_else(nowhere)?;
        let is_served = match subresource {
            "" => kind.kind != "TokenRequest",
            "status" => kind.traits.has_status,
            "scale" => kind.kind == "StatefulSet",
            "token" => kind.kind == "ServiceAccount",
            _ => false,
        };
        if !is_served {
            return Err(nowhere());
        }
        Ok(Self {
            kind,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            subresource: subresource.to_owned(),
        })
    }
}

/// The options of a call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(BTreeMap<String, String>);

impl Query {
    pub(crate) fn parse(text: &str) -> Self {
        // The first of two wins.
        let mut options = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            options.entry(name.into_owned()).or_insert_with(|| value.into_owned());
        }
        Self(options)
    }

    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    pub(crate) fn is(&self, name: &str) -> bool {
        matches!(self.get(name), "true" | "1")
    }

    /// Whether it is only tried.
    pub(crate) fn is_dry(&self) -> bool {
        self.get("dryRun") == "All"
    }

    /// Checks what every write may say.
    pub(crate) fn check(&self, options: &'static str) -> Result<(), Refusal> {
        let dry = self.get("dryRun");
        if !matches!(dry, "" | "All") {
            let cause = Cause::unsupported("dryRun", &Value::from(vec![dry]), &["All"]);
            return Err(invalid_options(options, cause));
        }
        let validation = self.get("fieldValidation");
        if !matches!(validation, "" | "Ignore" | "Warn" | "Strict") {
            let cause =
                Cause::unsupported("fieldValidation", &validation.into(), &["", "Ignore", "Strict", "Warn"]);
            return Err(invalid_options(options, cause));
        }
        Ok(())
    }
}
