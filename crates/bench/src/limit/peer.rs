//! The other ends of the limit program's connections: what feeds it, and what swallows what it
//! sends. Knows no protocol.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;

use anyhow::{anyhow, ensure};

use crate::schedule::{Latencies, Schedule};

/// Read at a time.
const SWALLOWED: usize = 1 << 20;

/// Sends `chunk` again and again over each connection, and waits until all of it is kept.
pub(super) fn feed(
    address: &str,
    connections: usize,
    chunk: &[u8],
    chunks: u64,
) -> anyhow::Result<()> {
    each(address, connections, |mut stream| {
        for _ in 0..chunks {
            stream.write_all(chunk)?;
        }
        stream.shutdown(Shutdown::Write)?;
        let mut kept = [0; 8];
        stream.read_exact(&mut kept)?;
        let (kept, sent) = (u64::from_be_bytes(kept), chunks * chunk.len() as u64);
        ensure!(kept == sent, "{kept} bytes were kept, {sent} were sent");
        Ok(())
    })
}

/// Sends a record again and again on a schedule, and takes a byte for each.
pub(super) fn pace(address: &str, record: &[u8], schedule: &Schedule) -> anyhow::Result<Latencies> {
    let mut sending = TcpStream::connect(address)?;
    sending.set_nodelay(true)?;
    let mut receiving = sending.try_clone()?;
    let mut answers = [0; 4096];
    let latencies = schedule.run(
        || Ok(sending.write_all(record)?),
        || {
            let came = receiving.read(&mut answers)?;
            ensure!(came > 0, "the connection has ended");
            Ok(u32::try_from(came)?)
        },
    )?;
    receiving.shutdown(Shutdown::Write)?;
    Ok(latencies)
}

/// Reads each connection to its end.
pub(super) fn swallow(address: &str, connections: usize) -> anyhow::Result<()> {
    each(address, connections, |mut stream| {
        let mut memory = vec![0; SWALLOWED];
        while stream.read(&mut memory)? > 0 {}
        Ok(())
    })
}

fn each(
    address: &str,
    connections: usize,
    work: impl Fn(TcpStream) -> anyhow::Result<()> + Sync,
) -> anyhow::Result<()> {
    let mut streams = Vec::with_capacity(connections);
    for _ in 0..connections {
        streams.push(TcpStream::connect(address)?);
    }
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> =
            streams.into_iter().map(|stream| scope.spawn(move || work(stream))).collect();
        threads.into_iter().try_for_each(|thread| {
            thread.join().map_err(|_| anyhow!("a connection's thread has panicked"))?
        })
    })
}
