//! File or memory to socket: one thread for each connection. Knows no protocol: a connection gets
//! the bytes of its files, and ends.

use std::fs::{self, File};
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::thread;

use anyhow::{Context, anyhow, ensure};
use ottla_records::crc32c;
use rustix::fs::{Advice, fadvise, sendfile};

use super::child;
use super::options::{From, Send};

/// Runs the program.
pub(super) fn run(options: &Send) -> anyhow::Result<()> {
    let mut paths = fs::read_dir(&options.dir)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()?;
    paths.sort();
    let files = paths.iter().map(File::open).collect::<Result<Vec<_>, _>>()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    child::ready(&listener)?;
    let (bytes, checksums) = serve(options, &listener, &files)?;
    child::done(bytes, checksums, 0)
}

/// Takes the connections and sends the files; gives their bytes, and the sum of the checksums.
fn serve(options: &Send, listener: &TcpListener, files: &[File]) -> anyhow::Result<(u64, u32)> {
    let mut streams = Vec::with_capacity(options.connections);
    for _ in 0..options.connections {
        streams.push(listener.accept()?.0);
    }
    let (mut bytes, mut checksums) = (0, 0_u32);
    thread::scope(|scope| {
        let share = |number| files.iter().skip(number).step_by(options.connections);
        let senders: Vec<_> = streams
            .into_iter()
            .enumerate()
            .map(|(number, stream)| scope.spawn(move || send(options, stream, share(number))))
            .collect();
        for sender in senders {
            let sent = sender.join().map_err(|_| anyhow!("a sender has panicked"))??;
            bytes += sent.0;
            checksums = checksums.wrapping_add(sent.1);
        }
        anyhow::Ok(())
    })?;
    Ok((bytes, checksums))
}

/// Sends the files; gives their bytes, and the sum of the checksums.
fn send<'a>(
    options: &Send,
    mut stream: TcpStream,
    files: impl Iterator<Item = &'a File>,
) -> anyhow::Result<(u64, u32)> {
    let mut memory = vec![0x5a; options.chunk];
    let (mut bytes, mut checksums) = (0, 0_u32);
    for file in files {
        let len = file.metadata()?.len();
        if options.from != From::Memory {
            fadvise(file, 0, None, Advice::Sequential)?;
        }
        let mut at = 0;
        while at < len {
            let size = usize::try_from(len - at)?.min(options.chunk);
            let chunk = memory.get_mut(..size).context("no chunk")?;
            match options.from {
                From::Memory => stream.write_all(chunk)?,
                From::Read => {
                    file.read_exact_at(chunk, at)?;
                    checksums = checksums.wrapping_add(crc32c(chunk));
                    stream.write_all(chunk)?;
                }
                From::Sendfile => {
                    let mut offset = at;
                    while offset < at + size as u64 {
                        let left = usize::try_from(at + size as u64 - offset)?;
                        let sent = sendfile(&stream, file, Some(&mut offset), left)?;
                        ensure!(sent > 0, "a file has become shorter");
                    }
                }
            }
            at += size as u64;
        }
        bytes += len;
    }
    Ok((bytes, checksums))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    /// Two connections, three files of which none is a multiple of a chunk.
    fn sent(from: From) -> Vec<Vec<u8>> {
        let folder = tempfile::tempdir().unwrap();
        let files: Vec<File> = [b'a', b'b', b'c']
            .into_iter()
            .map(|letter| {
                let path = folder.path().join(char::from(letter).to_string());
                fs::write(&path, vec![letter; 10_001]).unwrap();
                File::open(path).unwrap()
            })
            .collect();
        let dir = folder.path().to_owned();
        let options = Send { dir, connections: 2, chunk: 4_000, from };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::scope(|scope| {
            let serving = scope.spawn(|| serve(&options, &listener, &files));
            let streams = [(); 2].map(|()| TcpStream::connect(address).unwrap());
            let readers = streams.map(|mut stream| {
                scope.spawn(move || {
                    let mut all = Vec::new();
                    stream.read_to_end(&mut all).unwrap();
                    all
                })
            });
            let received = readers.map(|reader| reader.join().unwrap());
            let (bytes, checksums) = serving.join().unwrap().unwrap();
            assert_eq!(bytes, 30_003);
            assert_eq!(checksums != 0, from == From::Read);
            received.to_vec()
        })
    }

    #[test]
    fn every_file_goes_to_one_connection() {
        let expected = [[vec![b'a'; 10_001], vec![b'c'; 10_001]].concat(), vec![b'b'; 10_001]];
        assert!(sent(From::Read) == expected);
        assert!(sent(From::Sendfile) == expected);
        let lengths: Vec<_> = sent(From::Memory).iter().map(Vec::len).collect();
        assert_eq!(lengths, [20_002, 10_001]);
    }
}
