//! Torture of the real binary: power cuts, kills, failing disks and full disks, with a checker that
//! believes nothing. Knows the command line, the wire and the file system below the broker; nothing
//! of the broker's inside.
//!
//! * `history`, `world`: what was sent, acknowledged and seen, and what must therefore be there
//! * `load`, `readback`: the clients of one cycle, and the look after a restart
//! * `faults`, `mounted`, `node`: what is done to the broker, its disk, its process
//! * `place`: a temporary folder, and those that killed testers left
//! * `runs`: the four ways to combine them

pub mod faults;
pub mod history;
pub mod load;
pub mod mounted;
pub mod node;
pub mod payload;
pub mod place;
pub mod readback;
pub mod reading;
pub mod report;
pub mod runs;
pub mod scene;
pub mod seeded;
pub mod wire;
pub mod world;
