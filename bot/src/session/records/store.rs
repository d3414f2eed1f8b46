//! One Secret of records at the API server: read whole, written by JSON Patch with a `test` on each old value.
//!
//! A read is a default GET, answered from etcd. A write says what became of it as far as that can be known: refused (a
//! value was not the old one), not made, or unknown, after which only a read tells. A value that is missing is added with a
//! `test` on the Secret's version, since there is no old value to test. Deliberately absent: what to write, and trying again.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{
    ByteString,
    api::core::v1::{ConfigMap, Secret},
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use shard_contract::{layouts::Layouts, names, record::Record};
use tokio::time::timeout;

use crate::edges::kubernetes::{Word, said};

/// How long the API server may take for one request.
const WITHIN: Duration = Duration::from_secs(5);

/// A read that failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("could not read the Secret {name}")]
    Get { name: String, source: Box<kube::Error> },
    #[error("could not read the layouts document")]
    Document(#[source] Box<kube::Error>),
    #[error("there is no Secret {0} yet; shard-operator makes it")]
    Missing(String),
    #[error("the API server did not answer within {WITHIN:?}")]
    Late,
}

impl ReadError {
    /// Whether the API server takes this pod's token for nobody's.
    pub(super) fn denies_this_pod(&self) -> bool {
        let Self::Get { source, .. } = self else { return false };
        said(source) == Word::Denied
    }
}

/// A write that was not made, or may not have been.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    #[error("a record was not as it was known")]
    Refused,
    #[error("the API server did not take the records")]
    NotMade(#[source] Box<kube::Error>),
    #[error("it is not known whether the records were written")]
    Unknown(#[source] Box<kube::Error>),
    #[error("it is not known whether the records were written: no answer within {WITHIN:?}")]
    Late,
}

/// One record as it was read or written.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Known {
    /// None: there is none, or it cannot be read as one.
    pub(super) record: Option<Record>,
    value: Option<ByteString>,
}

/// A Secret as it was read.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) records: BTreeMap<(u32, u32), Known>,
    version: Option<String>,
    empty: bool,
}

/// One record that is to be written.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) shard: u32,
    pub(super) old: Known,
    pub(super) new: Record,
}

impl Known {
    /// Whether there is something under the record's key.
    pub(super) const fn exists(&self) -> bool {
        self.value.is_some()
    }
}

impl Change {
    /// What is known once it is written.
    pub(super) fn written(&self) -> Known {
        Known { value: serde_json::to_vec(&self.new).ok().map(ByteString), record: Some(self.new.clone()) }
    }
}

/// One Secret.
#[derive(Clone, Debug)]
pub(super) struct Store {
    secrets: Api<Secret>,
    documents: Api<ConfigMap>,
    name: String,
    document: String,
    session_group: u32,
}

impl Store {
    pub(super) fn new(client: Client, namespace: &str, bot: &str, name: String, session_group: u32) -> Self {
        Self {
            secrets: Api::namespaced(client.clone(), namespace),
            documents: Api::namespaced(client, namespace),
            name,
            document: names::layouts_config_map(bot),
            session_group,
        }
    }

    /// All records of the Secret, of every session group.
    pub(super) async fn read(&self) -> Result<Contents, ReadError> {
        let found = timeout(WITHIN, self.secrets.get_opt(&self.name)).await.map_err(|_| ReadError::Late)?;
        let secret = found
            .map_err(|source| ReadError::Get { name: self.name.clone(), source: Box::new(source) })?
            .ok_or_else(|| ReadError::Missing(self.name.clone()))?;
        let (version, data) = (secret.metadata.resource_version, secret.data);
        let empty = data.is_none();
        let records = data.unwrap_or_default().into_iter().filter_map(|(key, value)| {
            let at = names::parse_record_key(&key)?;
            let record = serde_json::from_slice(&value.0).ok();
            if record.is_none() {
                tracing::error!(secret = self.name, key, "this record cannot be read");
            }
            Some((at, Known { record, value: Some(value) }))
        });
        Ok(Contents { records: records.collect(), version, empty })
    }

    /// The layouts document as it is now, not as it was last seen.
    pub(super) async fn document(&self) -> Result<Layouts, ReadError> {
        let found = timeout(WITHIN, self.documents.get(&self.document)).await.map_err(|_| ReadError::Late)?;
        let data = found.map_err(|source| ReadError::Document(Box::new(source)))?.data.unwrap_or_default();
        let text = data.get(names::LAYOUTS_KEY).map(String::as_str).unwrap_or_default();
        serde_json::from_str(text)
            .map_err(|source| ReadError::Document(Box::new(kube::Error::SerdeError(source))))
    }

    /// Writes these records together, all or none.
    pub(super) async fn write(&self, seen: &mut Contents, changes: &[&Change]) -> Result<(), WriteError> {
        let mut operations = Vec::new();
        if changes.iter().any(|change| change.old.value.is_none()) {
            operations
                .push(json!({ "op": "test", "path": "/metadata/resourceVersion", "value": seen.version }));
            if seen.empty {
                operations.push(json!({ "op": "add", "path": "/data", "value": {} }));
            }
        }
        for Change { shard, old, new } in changes {
            let path = format!("/data/{}", names::record_key(self.session_group, *shard));
            if let Some(value) = &old.value {
                operations.push(json!({ "op": "test", "path": path, "value": value }));
            }
            let new = ByteString(serde_json::to_vec(new).unwrap_or_default());
            operations.push(json!({ "op": "add", "path": path, "value": new }));
        }
        let made = |source| WriteError::NotMade(Box::new(kube::Error::SerdeError(source)));
        let patch = Patch::<()>::Json(serde_json::from_value(Value::Array(operations)).map_err(made)?);
        let parameters = PatchParams::default();
        match timeout(WITHIN, self.secrets.patch(&self.name, &parameters, &patch)).await {
            Err(_) => Err(WriteError::Late),
            Ok(Ok(secret)) => {
                seen.version = secret.metadata.resource_version;
                seen.empty = false;
                Ok(())
            }
            Ok(Err(error)) => Err(what_became_of_it(error)),
        }
    }
}

fn what_became_of_it(error: kube::Error) -> WriteError {
    match &error {
        kube::Error::Api(status) => match status.code {
            409 | 422 => WriteError::Refused,
            400..=499 => WriteError::NotMade(Box::new(error)),
            _ => WriteError::Unknown(Box::new(error)),
        },
        _ => WriteError::Unknown(Box::new(error)),
    }
}
