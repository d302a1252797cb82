//! Records over one connection into one file, each answered with a byte: at once, or after the
//! `fdatasync` that covers it, of which each is for all that came while the one before ran. One
//! thread reads, sums and writes through the page cache. Knows no protocol: a connection is records
//! of the same length until it ends.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{self, Receiver};
use std::thread;

use anyhow::{Context, anyhow, ensure};
use ottla_records::crc32c;

use super::child;
use super::options::Answer;

/// Read at a time, at most.
const AT_ONCE: usize = 1 << 20;

/// Runs the program.
pub(super) fn run(options: &Answer) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let name = options.dir.join("0.log");
    let file = OpenOptions::new().write(true).create_new(true).open(name);
    let file = file.context("the file cannot be made")?;
    child::ready(&listener)?;
    let (stream, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    let kept = serve(options, stream, &file)?;
    child::done(kept.bytes, kept.checksums, kept.groups)
}

/// What was received, written and answered.
struct Kept {
    bytes: u64,
    checksums: u32,
    groups: u64,
}

fn serve(options: &Answer, mut stream: TcpStream, file: &File) -> anyhow::Result<Kept> {
    let mut answering = stream.try_clone()?;
    if !options.durable {
        let (bytes, checksums) =
            receive(options.bytes, &mut stream, file, |records| answer(&mut answering, records))?;
        return Ok(Kept { bytes, checksums, groups: 0 });
    }
    thread::scope(|scope| {
        let (written, waiting) = mpsc::channel();
        let syncing = scope.spawn(move || commit(file, &waiting, &mut answering));
        let received = receive(options.bytes, &mut stream, file, |records| {
            written.send(records).map_err(|_| anyhow!("the disk cannot sync"))
        });
        drop(written);
        let groups = syncing.join().map_err(|_| anyhow!("the committer has panicked"))??;
        let (bytes, checksums) = received?;
        Ok(Kept { bytes, checksums, groups })
    })
}

/// Syncs until nobody writes any more; gives the number of groups.
fn commit(
    file: &File,
    waiting: &Receiver<usize>,
    answering: &mut TcpStream,
) -> anyhow::Result<u64> {
    let mut groups = 0;
    while let Ok(first) = waiting.recv() {
        let records = first + waiting.try_iter().sum::<usize>();
        file.sync_data()?;
        answer(answering, records)?;
        groups += 1;
    }
    Ok(groups)
}

fn answer(answering: &mut TcpStream, records: usize) -> anyhow::Result<()> {
    Ok(answering.write_all(&vec![1; records])?)
}

/// Takes what comes until the connection ends; `written` is told how many more records there are.
/// Gives the bytes and the sum of their checksums.
fn receive(
    record: usize,
    stream: &mut TcpStream,
    file: &File,
    mut written: impl FnMut(usize) -> anyhow::Result<()>,
) -> anyhow::Result<(u64, u32)> {
    ensure!((1..=AT_ONCE).contains(&record), "records of {record} bytes");
    let mut memory = vec![0; AT_ONCE];
    let (mut begun, mut len, mut checksums) = (0, 0, 0_u32);
    loop {
        let room = memory.get_mut(begun..).context("no room")?;
        let came = stream.read(room)?;
        if came == 0 {
            ensure!(begun == 0, "a connection ended within a record");
            return Ok((len, checksums));
        }
        let all = begun + came;
        let whole = all - all % record;
        let records = memory.get(..whole).context("no room")?;
        for record in records.chunks(record) {
            checksums = checksums.wrapping_add(crc32c(record));
        }
        file.write_all_at(records, len)?;
        len += whole as u64;
        if whole > 0 {
            written(whole / record)?;
        }
        memory.copy_within(whole..all, 0);
        begun = all - whole;
    }
}

#[cfg(test)]
mod tests {
    use std::net::Shutdown;

    use super::*;

    fn kept(durable: bool) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0.log");
        let file = File::create(&path).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let sent: Vec<u8> = (0..7 * 999_u32).map(|n| (n * 31).to_le_bytes()[0]).collect();
        let options = Answer { dir: folder.path().to_owned(), bytes: 999, durable };
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        let kept = thread::scope(|scope| {
            let serving = scope.spawn(|| serve(&options, server, &file));
            let mut answers = [0; 7];
            // Records in parts, and several at once.
            for part in sent.chunks(2500) {
                client.write_all(part).unwrap();
            }
            client.read_exact(&mut answers).unwrap();
            assert_eq!(answers, [1; 7]);
            client.shutdown(Shutdown::Write).unwrap();
            serving.join().unwrap().unwrap()
        });
        assert_eq!(kept.bytes, sent.len() as u64);
        let sums = sent.chunks(999).map(crc32c);
        assert_eq!(kept.checksums, sums.fold(0, u32::wrapping_add));
        assert_eq!(kept.groups > 0, durable);
        assert!(std::fs::read(path).unwrap() == sent);
    }

    #[test]
    fn the_file_has_what_was_sent_and_every_record_is_answered() {
        kept(false);
        kept(true);
    }
}
