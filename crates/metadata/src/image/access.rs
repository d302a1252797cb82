//! Access control entries, client quotas, SCRAM credentials and delegation tokens, kept as their
//! records say so that nothing of a log is lost. Must not know what they permit.

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_protocol::{
    AccessControlEntryRecord, DelegationTokenRecord, StrBytes, UserScramCredentialRecord, Uuid,
};

/// One part of a quota's entity: its type, and its name or none for the default.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct QuotaEntityPart {
    /// `user`, `client-id` or `ip`.
    pub entity_type: StrBytes,
    /// The name; none is the default.
    pub name: Option<StrBytes>,
}

/// Whom a quota is for.
pub type QuotaEntity = Vec<QuotaEntityPart>;

/// Mechanism number and user name.
pub type ScramKey = (i8, StrBytes);

/// What an image holds of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Access {
    pub(crate) entries: Arc<BTreeMap<Uuid, Arc<AccessControlEntryRecord>>>,
    pub(crate) quotas: Arc<BTreeMap<QuotaEntity, BTreeMap<StrBytes, f64>>>,
    pub(crate) scram: Arc<BTreeMap<ScramKey, Arc<UserScramCredentialRecord>>>,
    pub(crate) tokens: Arc<BTreeMap<StrBytes, Arc<DelegationTokenRecord>>>,
}

impl super::Image {
    /// The access control entries, by id.
    pub fn access_control_entries(&self) -> impl Iterator<Item = &AccessControlEntryRecord> {
        self.access.entries.values().map(Arc::as_ref)
    }

    /// The quotas: whom for, and the values by name.
    pub fn client_quotas(&self) -> impl Iterator<Item = (&QuotaEntity, &BTreeMap<StrBytes, f64>)> {
        self.access.quotas.iter()
    }

    /// The SCRAM credentials.
    pub fn scram_credentials(
        &self,
    ) -> impl Iterator<Item = (&ScramKey, &UserScramCredentialRecord)> {
        self.access.scram.iter().map(|(key, record)| (key, record.as_ref()))
    }

    /// The delegation tokens, by id.
    pub fn delegation_tokens(&self) -> impl Iterator<Item = &DelegationTokenRecord> {
        self.access.tokens.values().map(Arc::as_ref)
    }
}
