//! The text of the `quorum-state` file: one line of JSON (`FileQuorumStateStore`). Must not know
//! the file.

use crate::quorum_state_data::Voter;
use crate::{QuorumStateData, StrBytes, Uuid};
use serde_json::{Map, Value};
use std::fmt::Write as _;
use thiserror::Error;

/// Why a text is no quorum state.
#[derive(Debug, Error)]
pub enum QuorumStateError {
    /// No JSON.
    #[error("the quorum state is no JSON: {0}")]
    NotJson(#[from] serde_json::Error),
    /// JSON, but not an object.
    #[error("the quorum state is no JSON object")]
    NotAnObject,
    /// A `data_version` other than 0 and 1.
    #[error("quorum state version {0} is not supported (supported: 0-1)")]
    UnsupportedVersion(i64),
    /// A field that the version must have is missing or of the wrong type.
    #[error("the quorum state has no valid field {0}")]
    Field(&'static str),
    /// A field is set that version 0 cannot carry.
    #[error("quorum state version {version} has no field {field}, which is set")]
    FieldNotSupported {
        /// The field.
        field: &'static str,
        /// The version asked for.
        version: i16,
    },
}

struct Fields(Map<String, Value>);

impl Fields {
    fn i64(&self, name: &'static str) -> Result<i64, QuorumStateError> {
        self.0.get(name).and_then(Value::as_i64).ok_or(QuorumStateError::Field(name))
    }

    fn i32(&self, name: &'static str) -> Result<i32, QuorumStateError> {
        i32::try_from(self.i64(name)?).map_err(|_| QuorumStateError::Field(name))
    }

    fn str(&self, name: &'static str) -> Result<&str, QuorumStateError> {
        self.0.get(name).and_then(Value::as_str).ok_or(QuorumStateError::Field(name))
    }

    fn voters(&self, name: &'static str) -> Result<Option<Vec<Voter>>, QuorumStateError> {
        let array = match self.0.get(name) {
            Some(Value::Null) => return Ok(None),
            Some(Value::Array(array)) => array,
            _ => return Err(QuorumStateError::Field(name)),
        };
        let voter = |value: &Value| {
            let Some(map) = value.as_object() else { return Err(QuorumStateError::Field(name)) };
            let voter_id = Self(map.clone()).i32("voterId")?;
            Ok(Voter { voter_id, ..Voter::default() })
        };
        array.iter().map(voter).collect::<Result<_, _>>().map(Some)
    }
}

impl QuorumStateData {
    /// Reads the file's first line; gives the state and the version it was written in. Fields
    /// that the version does not have are ignored.
    ///
    /// # Errors
    /// When the line is no quorum state of version 0 or 1.
    pub fn from_json(text: &str) -> Result<(Self, i16), QuorumStateError> {
        let line = text.lines().next().unwrap_or_default();
        let Value::Object(map) = serde_json::from_str(line)? else {
            return Err(QuorumStateError::NotAnObject);
        };
        let fields = Fields(map);
        let version = match fields.i64("data_version")? {
            0 => 0,
            1 => 1,
            other => return Err(QuorumStateError::UnsupportedVersion(other)),
        };
        let mut state = Self {
            leader_id: fields.i32("leaderId")?,
            leader_epoch: fields.i32("leaderEpoch")?,
            voted_id: fields.i32("votedId")?,
            ..Self::default()
        };
        if version == 0 {
            state.cluster_id = StrBytes::from(fields.str("clusterId")?);
            state.applied_offset = fields.i64("appliedOffset")?;
            state.current_voters = fields.voters("currentVoters")?;
        } else {
            let id = fields.str("votedDirectoryId")?;
            state.voted_directory_id =
                Uuid::parse(id).ok_or(QuorumStateError::Field("votedDirectoryId"))?;
        }
        Ok((state, version))
    }

    /// The file's text in `version`, without a newline, as Kafka writes it.
    ///
    /// # Errors
    /// When the version is not 0 or 1, or cannot carry what is set.
    pub fn to_json(&self, version: i16) -> Result<String, QuorumStateError> {
        let refuse = |field, set: bool| {
            if set { Err(QuorumStateError::FieldNotSupported { field, version }) } else { Ok(()) }
        };
        let numbers = format!(
            "\"leaderId\":{},\"leaderEpoch\":{},\"votedId\":{},",
            self.leader_id, self.leader_epoch, self.voted_id
        );
        let mut text = String::from("{");
        match version {
            0 => {
                refuse("votedDirectoryId", !self.voted_directory_id.is_zero())?;
                let cluster_id = Value::from(self.cluster_id.as_str());
                let _ = write!(text, "\"clusterId\":{cluster_id},{numbers}");
                let _ = write!(text, "\"appliedOffset\":{},", self.applied_offset);
                match &self.current_voters {
                    None => text.push_str("\"currentVoters\":null,"),
                    Some(voters) => {
                        let voter = |v: &Voter| format!("{{\"voterId\":{}}}", v.voter_id);
                        let voters = voters.iter().map(voter).collect::<Vec<_>>();
                        let _ = write!(text, "\"currentVoters\":[{}],", voters.join(","));
                    }
                }
            }
            1 => {
                refuse("clusterId", !self.cluster_id.is_empty())?;
                refuse("appliedOffset", self.applied_offset != 0)?;
                refuse(
                    "currentVoters",
                    self.current_voters.as_ref().is_none_or(|v| !v.is_empty()),
                )?;
                let id = self.voted_directory_id;
                let _ = write!(text, "{numbers}\"votedDirectoryId\":\"{id}\",");
            }
            other => return Err(QuorumStateError::UnsupportedVersion(i64::from(other))),
        }
        let _ = write!(text, "\"data_version\":{version}}}");
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::QuorumStateError;
    use crate::QuorumStateData;

    #[test]
    fn kafkas_text_comes_back() {
        for text in [
            r#"{"leaderId":1,"leaderEpoch":1,"votedId":-1,"votedDirectoryId":"AAAAAAAAAAAAAAAAAAAAAA","data_version":1}"#,
            r#"{"leaderId":-1,"leaderEpoch":9,"votedId":2,"votedDirectoryId":"J8aAPcfLQt2bqs1JT_rMgQ","data_version":1}"#,
            r#"{"clusterId":"","leaderId":2,"leaderEpoch":9,"votedId":-1,"appliedOffset":0,"currentVoters":[{"voterId":1},{"voterId":2}],"data_version":0}"#,
            r#"{"clusterId":"a\"b","leaderId":2,"leaderEpoch":9,"votedId":-1,"appliedOffset":-5,"currentVoters":null,"data_version":0}"#,
        ] {
            let (state, version) = QuorumStateData::from_json(text).unwrap();
            assert_eq!(state.to_json(version).unwrap(), text);
        }
    }

    #[test]
    fn what_is_no_state_is_refused() {
        let said = |text: &str| QuorumStateData::from_json(text).unwrap_err().to_string();
        assert!(matches!(
            QuorumStateData::from_json("").unwrap_err(),
            QuorumStateError::NotJson(_)
        ));
        assert_eq!(said("[]"), "the quorum state is no JSON object");
        assert_eq!(
            said(r#"{"data_version":2}"#),
            "quorum state version 2 is not supported (supported: 0-1)"
        );
        assert_eq!(
            said(r#"{"data_version":1,"leaderId":"1"}"#),
            "the quorum state has no valid field leaderId"
        );
        let (state, _) = QuorumStateData::from_json(
            r#"{"leaderId":1,"leaderEpoch":1,"votedId":-1,"votedDirectoryId":"J8aAPcfLQt2bqs1JT_rMgQ","data_version":1}"#,
        )
        .unwrap();
        assert_eq!(
            state.to_json(0).unwrap_err().to_string(),
            "quorum state version 0 has no field votedDirectoryId, which is set"
        );
    }
}
