//! A whole broker in this process, over a disk in memory, and clients over real sockets.

#[cfg(test)]
mod admission;
#[cfg(test)]
mod compaction;
#[cfg(test)]
mod coordinator;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod data;
#[cfg(test)]
mod fetching;
#[cfg(test)]
mod fixture;
mod hooked;
#[cfg(test)]
mod life;
#[cfg(test)]
mod loading;
#[cfg(test)]
mod log_dirs;
#[cfg(test)]
mod placing;
#[cfg(test)]
mod records;
#[cfg(test)]
mod space;
#[cfg(test)]
mod storage;
