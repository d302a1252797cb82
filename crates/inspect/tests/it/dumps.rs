//! What is shown with which options.

use std::path::{Path, PathBuf};

use ottla_env::Disk;
use ottla_inspect::{
    Decoder, DumpOptions, FieldDecoder, Format, IndexMode, InspectError, Out, dump, targets,
};
use ottla_protocol::Offset;

use crate::support::*;

const LOG: &str = "/d/t-0/00000000000000000000.log";

fn lines(disk: &ottla_env::memory::MemoryDisk, path: &str, options: DumpOptions) -> Vec<String> {
    dumped(disk, path, &options).lines().map(str::to_owned).collect()
}

#[test]
fn a_range_of_offsets() {
    let disk = written(&[10]);
    let deep = DumpOptions { deep: true, ..DumpOptions::default() };
    let range = DumpOptions { from_offset: Some(Offset(3)), to_offset: Some(Offset(6)), ..deep };
    let shown = lines(&disk, LOG, range);
    let offsets: Vec<_> = shown
        .iter()
        .filter_map(|line| line.strip_prefix("| offset: "))
        .map(|rest| rest.split(' ').next().unwrap())
        .collect();
    assert_eq!(offsets, ["3", "4", "5", "6"]);
    let three = DumpOptions { max_records: Some(3), ..deep };
    assert_eq!(lines(&disk, LOG, three).iter().filter(|l| l.starts_with('|')).count(), 3);
    let bytes = DumpOptions { max_bytes: 2000, ..deep };
    let shown = lines(&disk, LOG, bytes);
    assert_eq!(shown.iter().filter(|line| line.starts_with("baseOffset")).count(), 1);
    assert!(!shown.iter().any(|line| line.contains("invalid bytes")), "{shown:?}");
}

#[test]
fn keys_and_values_as_asked() {
    let disk = golden();
    let log = "/d/txn-0/00000000000000000000.log";
    let shown = |key, value| {
        let decoder = Some(Decoder::Fields { key, value });
        let options = DumpOptions { print_data: true, decoder, ..DumpOptions::default() };
        lines(&disk, log, options).into_iter().find(|line| line.contains("payload")).unwrap()
    };
    let text = FieldDecoder::Text;
    assert!(shown(text, text).ends_with("payload: commit 0"));
    assert!(shown(text, FieldDecoder::Hex).ends_with("payload: 636f6d6d69742030"));
    assert!(shown(text, FieldDecoder::Base64).ends_with("payload: Y29tbWl0IDA="));
    assert!(shown(text, FieldDecoder::Long).ends_with("payload: 7165065848857829424"));
    assert!(shown(text, FieldDecoder::Integer).contains("8 bytes are no number of 4"));
    let only =
        DumpOptions { print_data: true, skip_record_metadata: true, ..DumpOptions::default() };
    assert!(lines(&disk, log, only).contains(&"| payload: commit 0".to_owned()));
}

#[test]
fn a_wrong_checksum_is_shown_and_the_rest_too() {
    let disk = written(&[3]);
    edit(&disk, LOG, |bytes| bytes[200] ^= 1);
    let shown = lines(&disk, LOG, DumpOptions::default());
    assert!(shown[2].ends_with("isvalid: false"), "{shown:?}");
    assert!(shown[3].ends_with("isvalid: true") && shown.len() == 5, "{shown:?}");
    edit(&disk, LOG, |bytes| bytes.truncate(bytes.len() - 5));
    let shown = lines(&disk, LOG, DumpOptions::default());
    assert!(shown[4].contains("invalid bytes at the end of 00000000000000000000.log"), "{shown:?}");
}

#[test]
fn indexes_as_kafka_has_them() {
    let disk = written(&[20]);
    let index = "/d/t-0/00000000000000000000.index";
    let shown = lines(&disk, index, DumpOptions::default());
    assert!(shown[1].starts_with("offset: ") && shown.len() > 4, "{shown:?}");
    let sane = DumpOptions { index: IndexMode::SanityCheck, ..DumpOptions::default() };
    assert_eq!(lines(&disk, index, sane)[1], format!("{index} passed sanity check."));
    edit(&disk, index, |bytes| bytes[11] ^= 1);
    let only = DumpOptions { index: IndexMode::VerifyOnly, ..DumpOptions::default() };
    let shown = lines(&disk, index, only);
    assert_eq!(shown[1], format!("Mismatches in :{index}"), "{shown:?}");
    assert!(shown[2].starts_with("  Index offset: ") && shown.len() == 3, "{shown:?}");
    edit(&disk, index, |bytes| bytes.truncate(9));
    assert!(lines(&disk, index, sane)[1].contains("did not pass the sanity check"));
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    struct Gone;
    impl std::io::Write for Gone {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let disk = written(&[3]);
    let found = targets(&disk, &[PathBuf::from("/d")]).unwrap();
    let result =
        dump(&disk, &found, &DumpOptions::default(), &mut Out::new(&mut Gone, Format::Text));
    assert!(matches!(result, Err(InspectError::Closed)));
}

#[test]
fn paths_that_are_not_there() {
    let disk = written(&[1]);
    let error = targets(&disk, &[PathBuf::from("/nowhere")]).unwrap_err();
    assert_eq!(error.to_string(), "cannot look at /nowhere: there is no such file or directory");
    assert!(disk.exists(Path::new("/d")).unwrap());
    let listed = PathBuf::from(format!("{LOG},/d/t-0"));
    assert_eq!(targets(&disk, &[listed]).unwrap().len(), 2);
}
