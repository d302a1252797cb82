//! The load of one cycle: producers, a consumer, an administrator, each a thread with a connection
//! of its own, until the broker is gone. Must not know what is done to the broker.

use std::thread;

use crate::scene::Scene;
use crate::seeded::Seeded;
use crate::wire::Client;

mod admin;
mod batch;
mod consume;
mod idempotent;
mod moves;
mod plain;

pub use admin::{append, create, create_topics, delete, delete_to, set};
pub use idempotent::Idempotent;

/// The clients, and what they carry from cycle to cycle.
#[derive(Debug)]
pub struct Load {
    idempotent: Idempotent,
    seeded: Seeded,
    rounds: u64,
}

impl Load {
    /// Clients that have sent nothing yet.
    #[must_use]
    pub fn new(seeded: Seeded) -> Self {
        Self { idempotent: Idempotent::new(seeded.part(1)), seeded, rounds: 0 }
    }

    /// The cluster was made anew: nothing is in doubt.
    pub fn forget(&mut self) {
        self.idempotent.forget();
    }

    /// Runs all clients against the broker, and `nemesis` beside them, until every client ends:
    /// when the scene is stopped, or when their connections fail.
    ///
    /// # Errors
    /// What `nemesis` gives.
    pub fn run<T: Send>(
        &mut self,
        scene: &Scene,
        address: &str,
        nemesis: impl FnOnce() -> anyhow::Result<T> + Send,
    ) -> anyhow::Result<T> {
        self.rounds += 1;
        let round = self.seeded.part(self.rounds);
        thread::scope(|threads| {
            let idempotent = &mut self.idempotent;
            threads.spawn(|| client(scene, address, "producer", |c| idempotent.run(scene, c)));
            let (second, fourth) = (round.part(2), round.part(3));
            threads.spawn(|| client(scene, address, "producer", |c| plain::run(scene, c, second)));
            threads.spawn(|| client(scene, address, "consumer", |c| consume::run(scene, c)));
            threads.spawn(|| client(scene, address, "admin", |c| admin::run(scene, c, fourth)));
            if scene.moves() {
                let fifth = round.part(4);
                threads.spawn(|| client(scene, address, "mover", |c| moves::run(scene, c, fifth)));
            }
            let result = nemesis();
            if result.is_err() {
                scene.stop();
            }
            result
        })
    }
}

/// One client from its connection to its end.
fn client(
    scene: &Scene,
    address: &str,
    who: &str,
    run: impl FnOnce(&mut Client) -> anyhow::Result<()>,
) {
    let result = Client::open(address).map_err(anyhow::Error::from);
    if let Err(error) = result.and_then(|mut client| run(&mut client)) {
        scene.failed(who, &error);
    }
}
