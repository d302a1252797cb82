//! Socket to file: one thread reads a chunk of each connection in turn, sums it and writes it
//! behind what its file has. Knows no protocol: a connection is chunks until it ends, and is
//! answered once, with the bytes that were kept.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::thread;

use anyhow::{Context, anyhow, ensure};
use ottla_records::crc32c;
use rustix::net::{RecvFlags, recv};

use super::aligned::{Aligned, BLOCK_BYTES};
use super::child;
use super::committer::Committer;
use super::options::{Receive, Through};

/// A file that grows, with the memory that its chunks are received into.
struct Output {
    /// In that of the committer.
    index: usize,
    len: u64,
    /// With direct writes it begins with the bytes of the file's last, partial block.
    memory: Aligned,
}

/// A connection and where its next chunk goes.
struct Input {
    stream: TcpStream,
    outputs: Vec<Output>,
    next: usize,
    kept: u64,
}

/// What the loop works with.
struct Sink<'a> {
    options: &'a Receive,
    files: &'a [File],
    committer: &'a Committer,
    checksums: u32,
}

/// Runs the program.
pub(super) fn run(options: &Receive) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let files = create(options)?;
    child::ready(&listener)?;
    let kept = serve(options, &listener, &files)?;
    child::done(kept.bytes, kept.checksums, kept.groups)
}

/// What was received and written.
struct Kept {
    bytes: u64,
    checksums: u32,
    groups: u64,
}

/// Takes the connections, and what comes over them until they end.
fn serve(options: &Receive, listener: &TcpListener, files: &[File]) -> anyhow::Result<Kept> {
    let mut inputs = Vec::with_capacity(options.connections);
    for first in (0..files.len()).step_by(options.files.max(1)) {
        let output = |index| Output {
            index,
            len: 0,
            memory: Aligned::new((options.chunk + BLOCK_BYTES).next_multiple_of(BLOCK_BYTES)),
        };
        let outputs = (first..first + options.files).map(output).collect();
        inputs.push(Input { stream: listener.accept()?.0, outputs, next: 0, kept: 0 });
    }
    let committer = Committer::default();
    let mut sink = Sink { options, files, committer: &committer, checksums: 0 };
    let mut answered = Vec::new();
    let groups = thread::scope(|scope| {
        let syncing = options.durable.then(|| scope.spawn(|| committer.run(files)));
        let received = sink.receive_all(inputs, &mut answered);
        committer.finish();
        let groups = syncing.map(thread::ScopedJoinHandle::join).transpose();
        let groups = groups.map_err(|_| anyhow!("the committer has panicked"))?.transpose();
        received.and(groups.context("the disk cannot sync"))
    })?;
    let mut bytes = 0;
    for mut input in answered {
        bytes += input.kept;
        input.stream.write_all(&input.kept.to_be_bytes())?;
    }
    Ok(Kept { bytes, checksums: sink.checksums, groups: groups.unwrap_or(0) })
}

fn create(options: &Receive) -> anyhow::Result<Vec<File>> {
    let mut open = OpenOptions::new();
    open.read(true).write(true).create_new(true);
    if options.through == Through::Direct {
        open.custom_flags(i32::try_from(rustix::fs::OFlags::DIRECT.bits())?);
    }
    let names = (0..options.connections * options.files).map(|n| format!("{n}.log"));
    let files = names.map(|name| open.open(options.dir.join(name)));
    files.collect::<Result<_, _>>().context("the files cannot be made")
}

impl Sink<'_> {
    /// Chunks of each connection in turn, until all have ended.
    fn receive_all(&mut self, mut open: Vec<Input>, done: &mut Vec<Input>) -> anyhow::Result<()> {
        while !open.is_empty() {
            let mut still = Vec::with_capacity(open.len());
            for mut input in open {
                if self.receive(&mut input)? {
                    still.push(input);
                } else {
                    self.cut(&input)?;
                    done.push(input);
                }
            }
            open = still;
        }
        Ok(())
    }

    /// One chunk; false at the connection's end.
    fn receive(&mut self, input: &mut Input) -> anyhow::Result<bool> {
        let outputs = input.outputs.len();
        let output = input.outputs.get_mut(input.next).context("no file")?;
        let direct = self.options.through == Through::Direct;
        let partial = if direct { usize::try_from(output.len)? % BLOCK_BYTES } else { 0 };
        let end = partial + self.options.chunk;
        let chunk = output.memory.bytes().get_mut(partial..end).context("a chunk is too large")?;
        let mut came = 0;
        while let Some(room) = chunk.get_mut(came..).filter(|room| !room.is_empty()) {
            let (n, _) = recv(&input.stream, room, RecvFlags::WAITALL)?;
            if n == 0 {
                ensure!(came == 0, "a connection ended within a chunk");
                return Ok(false);
            }
            came += n;
        }
        self.checksums = self.checksums.wrapping_add(crc32c(chunk));
        let file = self.files.get(output.index).context("no file")?;
        if direct {
            // The last block is written with zeros behind it, and again with the next chunk.
            let blocks = end.next_multiple_of(BLOCK_BYTES);
            let whole = output.memory.bytes().get_mut(..blocks).context("a chunk is too large")?;
            if let Some(rest) = whole.get_mut(end..) {
                rest.fill(0);
            }
            file.write_all_at(whole, output.len - partial as u64)?;
            whole.copy_within(end / BLOCK_BYTES * BLOCK_BYTES..end, 0);
        } else {
            file.write_all_at(chunk, output.len)?;
        }
        if self.options.durable {
            self.committer.written(output.index);
        }
        output.len += self.options.chunk as u64;
        input.kept += self.options.chunk as u64;
        input.next = (input.next + 1) % outputs;
        Ok(true)
    }

    /// Cuts the zeros behind the last block.
    fn cut(&self, input: &Input) -> anyhow::Result<()> {
        for output in &input.outputs {
            self.files.get(output.index).context("no file")?.set_len(output.len)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::peer;

    /// No multiple of a block, and more than one.
    const CHUNK: usize = 9_999;
    const CHUNKS: u64 = 7;

    fn kept(through: Through, durable: bool) {
        let folder = tempfile::tempdir().unwrap();
        let (connections, files) = (2, 3);
        let dir = folder.path().to_owned();
        let options = Receive { dir, connections, files, chunk: CHUNK, through, durable };
        let outputs = match create(&options) {
            // A file system without direct writes.
            Err(_) if through == Through::Direct => return,
            other => other.unwrap(),
        };
        let chunk: Vec<u8> = (0..CHUNK).map(|n| (n * 31).to_le_bytes()[0]).collect();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let kept = thread::scope(|scope| {
            let serving = scope.spawn(|| serve(&options, &listener, &outputs));
            peer::feed(&address, connections, &chunk, CHUNKS).unwrap();
            serving.join().unwrap().unwrap()
        });
        assert_eq!(kept.bytes, 2 * CHUNKS * CHUNK as u64);
        assert_eq!(kept.checksums, crc32c(&chunk).wrapping_mul(14));
        assert_eq!(kept.groups > 0, durable);
        // Seven chunks go round three files.
        for (file, chunks) in [3, 2, 2, 3, 2, 2].into_iter().enumerate() {
            let found = std::fs::read(folder.path().join(format!("{file}.log"))).unwrap();
            assert!(found == chunk.repeat(chunks), "{through:?}: file {file}");
        }
    }

    #[test]
    fn files_have_what_was_sent() {
        for through in [Through::Cache, Through::Direct] {
            kept(through, false);
            kept(through, true);
        }
    }
}
