//! Owns who this node is: its id, its roles, and the quorum it belongs to.
//! Must not know listeners or directories.

use super::listeners::split_list;
use super::{ALONE, Reader};
use crate::error::ConfigError;

/// `process.roles`: both, or not given.
pub(super) fn check_roles(reader: &Reader<'_>) -> Result<(), ConfigError> {
    let name = "process.roles";
    let Some(setting) = reader.given(name) else { return Ok(()) };
    let roles: Vec<&str> = split_list(&setting.value).collect();
    for role in ["broker", "controller"] {
        if !roles.contains(&role) {
            let reason = format!("the role {role} is missing; {ALONE}");
            return Err(Reader::refuse(name, setting)(reason));
        }
    }
    Ok(())
}

/// `node.id`, or its old name `broker.id`; they may not differ. Negative is not given.
pub(super) fn node_id(reader: &Reader<'_>) -> Result<Option<i32>, ConfigError> {
    let read = |name| -> Result<Option<i32>, ConfigError> {
        if reader.given(name).is_none() {
            return Ok(None);
        }
        Ok(i32::try_from(reader.number(name)?).ok().filter(|id| *id >= 0))
    };
    let (node, broker) = (read("node.id")?, read("broker.id")?);
    match (node, broker) {
        (Some(node), Some(broker)) if node != broker => Err(ConfigError::Conflict(format!(
            "node.id is {node} and broker.id is {broker}; they must be equal, or one must go"
        ))),
        (node, broker) => Ok(node.or(broker)),
    }
}

/// `controller.quorum.voters` and `controller.quorum.bootstrap.servers`: this node alone.
/// True if voters are given: the quorum then has no directory ids.
pub(super) fn check_quorum(
    reader: &Reader<'_>,
    node_id: Option<i32>,
    warnings: &mut Vec<String>,
) -> Result<bool, ConfigError> {
    let name = "controller.quorum.bootstrap.servers";
    if let Some(setting) = reader.given(name)
        && split_list(&setting.value).count() > 1
    {
        warnings.push(format!(
            "{}: {name} names several servers, none is asked: {ALONE}",
            setting.origin
        ));
    }
    let name = "controller.quorum.voters";
    let Some(setting) = reader.given(name) else { return Ok(false) };
    let refuse = Reader::refuse(name, setting);
    let voters: Vec<&str> = split_list(&setting.value).collect();
    let [voter] = voters.as_slice() else {
        return Err(refuse(format!("{} voters are named; {ALONE}", voters.len())));
    };
    let bad = || format!("\"{voter}\" is not of the form ID@HOST:PORT");
    let Some((id, address)) = voter.split_once('@') else { return Err(refuse(bad())) };
    let Ok(id) = id.trim().parse::<i32>() else { return Err(refuse(bad())) };
    if super::parse_endpoint(address).is_err() {
        return Err(refuse(bad()));
    }
    match node_id {
        Some(node_id) if node_id == id => Ok(true),
        Some(node_id) => {
            Err(refuse(format!("voter {id} is another node than node.id {node_id}; {ALONE}")))
        }
        None => Err(refuse(format!("node.id must be given, and be {id}"))),
    }
}
