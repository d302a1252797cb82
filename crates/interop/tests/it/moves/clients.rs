//! The stock admin client moves partitions under the stock producer and consumer; librdkafka at a
//! disk that counts as full.

use std::process::Command;
use std::time::Duration;

use ottla_interop::broker::{Broker, Kind};
use ottla_interop::{program, repository};

const LIMIT: Duration = Duration::from_secs(300);

#[test]
fn nothing_is_lost_under_the_java_clients() -> anyhow::Result<()> {
    let broker = Broker::movable(Kind::chosen(), &super::SETTINGS, 3)?;
    let mut java = program::java(&repository::client_classes()?, "off")?;
    java.args(["LogDirs", broker.address(), "it-moves"]).args(super::dirs(&broker)?);
    program::scenarios(&mut java, LIMIT).inspect_err(|_| eprintln!("{}", broker.log()))?;
    Ok(())
}

#[test]
fn librdkafka_is_refused_at_once_by_a_full_disk() -> anyhow::Result<()> {
    let broker = Broker::start_as(Kind::Ottla, &[])?;
    let mut python = Command::new(repository::fetched("python/bin/python")?);
    python.env("PYTHONDONTWRITEBYTECODE", "1").args(["-W", "ignore"]);
    python.arg(repository::source("python").join("full_disk_client.py"));
    python.args([broker.address(), "it-full"]);
    program::scenarios(&mut python, LIMIT).inspect_err(|_| eprintln!("{}", broker.log()))?;
    Ok(())
}
