//! Tests of the log as its host sees it. Must not know its inside.

#[cfg(test)]
mod basics;
#[cfg(test)]
mod commit;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod model;
#[cfg(test)]
mod support;
