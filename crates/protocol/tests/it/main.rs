//! Tests over all messages and versions, and of the borrowed views.
#[cfg(test)]
mod api_versions;
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod round_trip;
#[cfg(test)]
mod views;
