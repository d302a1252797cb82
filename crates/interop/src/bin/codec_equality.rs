//! Compares our codec with Apache Kafka's, byte by byte and both ways, over random messages of
//! every kind and version. Needs a JDK and a folder with Kafka's jars. Knows no broker.
#![expect(clippy::print_stdout, reason = "a command line tool reports on stdout")]

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use ottla_protocol::message::Message;
use ottla_protocol::random::{MESSAGE_NAMES, MessageVisitor, RandomMessage, each_message};
use ottla_protocol::{RandomSource, Reader, Writer};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const USAGE: &str =
    "usage: codec_equality --jars FOLDER [--work FOLDER] [--count PER_VERSION] [--seed NUMBER]";

struct Options {
    jars: PathBuf,
    work: PathBuf,
    count: usize,
    seed: u64,
}

fn options() -> Result<Options> {
    let mut arguments = std::env::args().skip(1);
    let mut jars = None;
    let mut options = Options {
        jars: PathBuf::new(),
        work: std::env::temp_dir().join("ottla-codec-equality"),
        count: 20,
        seed: 1,
    };
    while let Some(name) = arguments.next() {
        let value = arguments.next().context(USAGE)?;
        match name.as_str() {
            "--jars" => jars = Some(PathBuf::from(value)),
            "--work" => options.work = PathBuf::from(value),
            "--count" => options.count = value.parse().context(USAGE)?,
            "--seed" => options.seed = value.parse().context(USAGE)?,
            _ => bail!(USAGE),
        }
    }
    options.jars = jars.context(USAGE)?;
    Ok(options)
}

/// Writes random messages of every kind and version as lines of text.
struct Lines {
    count: usize,
    tagged: RandomSource,
    plain: RandomSource,
    text: String,
    result: Result<()>,
}

impl Lines {
    fn line<M: Message>(&mut self, message: &M, version: i16, kind: &str) -> Result<()> {
        let mut w = Writer::new();
        message.encode(&mut w, version).with_context(|| format!("{} v{version}", M::NAME))?;
        let _ = write!(self.text, "{} {version} ", M::NAME);
        for byte in &w.finish().to_bytes() {
            let _ = write!(self.text, "{byte:02x}");
        }
        let _ = writeln!(self.text, " {kind}");
        Ok(())
    }

    fn lines<M: RandomMessage>(&mut self) -> Result<()> {
        for version in M::VALID_VERSIONS.iter() {
            self.line(&M::default(), version, "plain")?;
            for _ in 0..self.count {
                let message = M::random(&mut self.tagged, version);
                self.line(&message, version, "tagged")?;
                let message = M::random(&mut self.plain, version);
                self.line(&message, version, "plain")?;
            }
        }
        Ok(())
    }
}

impl MessageVisitor for Lines {
    fn visit<M: RandomMessage>(&mut self) {
        if self.result.is_ok() {
            self.result = self.lines::<M>();
        }
    }
}

/// Reads the lines that Kafka wrote; by name, since the lines come in any order.
struct Check<'a> {
    lines: BTreeMap<&'a str, Vec<(i16, Bytes)>>,
    checked: usize,
    wrong: usize,
}

impl Check<'_> {
    fn same<M: Message>(bytes: &Bytes, version: i16) -> Result<()> {
        let mut r = Reader::new(bytes.clone());
        let message = M::decode(&mut r, version)?;
        r.finish()?;
        let mut w = Writer::new();
        message.encode(&mut w, version)?;
        let again = w.finish().to_bytes();
        ensure!(again == bytes, "read {bytes:02x?}\n  written {again:02x?}");
        ensure!(message.encoded_len(version) == bytes.len(), "the announced length is wrong");
        Ok(())
    }
}

impl MessageVisitor for Check<'_> {
    fn visit<M: RandomMessage>(&mut self) {
        for (version, bytes) in self.lines.remove(M::NAME).unwrap_or_default() {
            self.checked += 1;
            if let Err(error) = Self::same::<M>(&bytes, version) {
                self.wrong += 1;
                if self.wrong <= 20 {
                    println!("{} version {version}: {error:#}", M::NAME);
                }
            }
        }
    }
}

fn hex(text: &str) -> Result<Bytes> {
    let digits = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair)?, 16).map_err(Into::into);
    digits.map(byte).collect::<Result<Vec<u8>>>().map(Bytes::from)
}

fn check(text: &str) -> Result<(usize, usize)> {
    let mut lines = BTreeMap::<_, Vec<_>>::new();
    for line in text.lines() {
        let [name, version, bytes] = line.split(' ').collect::<Vec<_>>()[..] else {
            bail!("no such line was expected: {line}");
        };
        lines.entry(name).or_default().push((version.parse()?, hex(bytes)?));
    }
    let mut check = Check { lines, checked: 0, wrong: 0 };
    each_message(&mut check);
    ensure!(check.lines.is_empty(), "Kafka wrote messages that we do not have");
    Ok((check.checked, check.wrong))
}

fn java(options: &Options, sent: &Path, received: &Path) -> Result<()> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("java/CodecEquality.java");
    let jars = options.jars.join("*");
    let mut javac = Command::new("javac");
    javac.arg("-Xlint:all").arg("-Werror").arg("-cp").arg(&jars).arg("-d").arg(&options.work);
    let built = javac.arg(&source).status().context("cannot run javac: is a JDK installed?")?;
    ensure!(built.success(), "{} does not compile", source.display());
    let mut path = options.work.clone().into_os_string();
    path.push(":");
    path.push(&jars);
    let mut java = Command::new("java");
    java.arg("-cp").arg(path).arg("CodecEquality").arg(sent).arg(received);
    java.arg(options.count.to_string()).arg(options.seed.to_string());
    let ran = java.status().context("cannot run java")?;
    ensure!(ran.success(), "Apache Kafka reads or writes what we wrote differently");
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let options = options()?;
    std::fs::create_dir_all(&options.work)?;
    let source = RandomSource::new(options.seed);
    let mut lines = Lines {
        count: options.count,
        tagged: source.clone(),
        plain: source.without_unknown_tags(),
        text: String::new(),
        result: Ok(()),
    };
    each_message(&mut lines);
    lines.result?;
    let (sent, received) = (options.work.join("sent"), options.work.join("received"));
    std::fs::write(&sent, lines.text)?;
    java(&options, &sent, &received)?;
    let (checked, wrong) = check(&std::fs::read_to_string(&received)?)?;
    ensure!(wrong == 0, "{wrong} of {checked} messages of Apache Kafka come out differently");
    println!("read {checked} messages of Kafka's, {} kinds: all the same", MESSAGE_NAMES.len());
    Ok(())
}
