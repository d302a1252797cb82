//! The binary as its users meet it: a real process, its lines, its exit codes.

#[cfg(test)]
mod errors;
#[cfg(test)]
mod format;
#[cfg(test)]
mod life;
#[cfg(test)]
mod log;
#[cfg(test)]
mod process;
#[cfg(test)]
mod settings;
