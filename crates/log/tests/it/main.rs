//! Tests of the log as its host sees it. Must not know its inside.
#![expect(clippy::cast_possible_truncation, reason = "the tests' numbers are small")]

#[cfg(test)]
mod basics;
#[cfg(test)]
mod commit;
#[cfg(test)]
mod compaction;
#[cfg(test)]
mod compaction_golden;
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod creation;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod model;
#[cfg(test)]
mod moving;
#[cfg(test)]
mod no_space;
#[cfg(test)]
mod recovery;
#[cfg(test)]
mod retention;
#[cfg(test)]
mod support;
#[cfg(test)]
mod torn;
