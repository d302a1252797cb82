//! Owns the `log` commands: flags in, answers on standard output, exit code. Must not know what
//! the files mean: that is `ottla-inspect`.

mod args;

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

pub(crate) use args::LogCommand;
use args::{
    AnswerFormat, DumpArgs, Flush, IndexArgs, LogSubcommand, OutputArgs, PlanArgs, StartArgs,
    VerifyArgs,
};
use ottla_env::{Clock, Disk};
use ottla_env_os::{OsClock, OsDisk};
use ottla_inspect::{
    Decoder, DumpOptions, FieldDecoder, Format, IndexMode, InspectError, Out, PlanOptions, Target,
    VerifyOptions,
};
use ottla_log::FlushMode;
use ottla_node::Sources;
use ottla_protocol::{Millis, Offset};

/// Nothing is wrong.
const FINE: u8 = 0;
/// Problems were found.
const PROBLEMS: u8 = 1;
/// It was not possible to look.
const CANNOT_LOOK: u8 = 2;

/// Runs one of the commands.
pub(crate) fn run(command: LogCommand) -> ExitCode {
    let mut writer = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let disk: Arc<dyn Disk> = Arc::new(OsDisk);
    let done = match command.command {
        LogSubcommand::Dump(args) => dump(&disk, args, &mut writer),
        LogSubcommand::Verify(args) => verify(&disk, &args, &mut writer),
        LogSubcommand::RepairPlan(args) => plan(&disk, &args, &mut writer),
        LogSubcommand::Indexes(args) => indexes(&disk, &args, &mut writer),
    };
    // What was said before an error is worth having, too.
    let flushed = writer.flush().map_err(InspectError::from);
    match done.and_then(|code| flushed.map(|()| code)) {
        Ok(code) => ExitCode::from(code),
        // `ottla log dump … | head` has what it wanted.
        Err(InspectError::Closed) => ExitCode::from(FINE),
        Err(error) => {
            crate::complain(&error.to_string(), None);
            ExitCode::from(CANNOT_LOOK)
        }
    }
}

fn code(problems: bool) -> u8 {
    if problems { PROBLEMS } else { FINE }
}

fn format(output: &OutputArgs) -> Format {
    match output.format {
        AnswerFormat::Text => Format::Text,
        AnswerFormat::Json => Format::Json,
    }
}

fn targets(disk: &Arc<dyn Disk>, paths: &[PathBuf]) -> Result<Vec<Target>, InspectError> {
    ottla_inspect::targets(disk.as_ref(), paths)
}

fn start(args: &StartArgs) -> PlanOptions {
    PlanOptions {
        flush_mode: args.flush_mode.map(|mode| match mode {
            Flush::Durable => FlushMode::Durable,
            Flush::Os => FlushMode::Os,
        }),
        index_interval_bytes: args.index_interval_bytes,
        now: Millis(OsClock::new().wall_ms()),
    }
}

fn dump(
    disk: &Arc<dyn Disk>,
    mut args: DumpArgs,
    writer: &mut dyn Write,
) -> Result<u8, InspectError> {
    let mut paths = std::mem::take(&mut args.paths);
    paths.append(&mut args.files);
    let options = dump_options(&args)?;
    let targets = targets(disk, &paths)?;
    let mut out = Out::new(writer, format(&args.output));
    ottla_inspect::dump(disk.as_ref(), &targets, &options, &mut out)?;
    Ok(FINE)
}

fn dump_options(args: &DumpArgs) -> Result<DumpOptions, InspectError> {
    let fields = if args.key_decoder.is_some() || args.value_decoder.is_some() {
        let field = |name: &Option<String>| {
            name.as_deref().map_or(Ok(FieldDecoder::default()), field_decoder)
        };
        Some(Decoder::Fields { key: field(&args.key_decoder)?, value: field(&args.value_decoder)? })
    } else {
        None
    };
    // As in Kafka a decoder for a whole topic is stronger than those for keys and values.
    let decoder = [
        (args.offsets_decoder, Decoder::Offsets),
        (args.transaction_log_decoder, Decoder::TransactionLog),
        (args.cluster_metadata_decoder, Decoder::ClusterMetadata),
        (args.remote_log_metadata_decoder, Decoder::RemoteLogMetadata),
        (args.share_group_state_decoder, Decoder::ShareGroupState),
    ]
    .into_iter()
    .find_map(|(chosen, decoder)| chosen.then_some(decoder))
    .or(fields);
    let index = if args.index_sanity_check {
        IndexMode::SanityCheck
    } else if args.verify_index_only {
        IndexMode::VerifyOnly
    } else {
        IndexMode::Print
    };
    Ok(DumpOptions {
        print_data: args.print_data_log || decoder.is_some(),
        deep: args.deep_iteration,
        decoder,
        skip_record_metadata: args.skip_record_metadata,
        index,
        max_message_size: args.max_message_size,
        max_bytes: args.max_bytes.unwrap_or(u64::MAX),
        from_offset: args.from_offset.map(Offset),
        to_offset: args.to_offset.map(Offset),
        max_records: args.max_records,
    })
}

/// `string`, or the name of Kafka's class `…StringDecoder`.
fn field_decoder(name: &str) -> Result<FieldDecoder, InspectError> {
    let class = name.rsplit('.').next().unwrap_or(name);
    let word = class.strip_suffix("Decoder").unwrap_or(class).to_ascii_lowercase();
    match word.as_str() {
        "string" => Ok(FieldDecoder::Text),
        "integer" => Ok(FieldDecoder::Integer),
        "long" => Ok(FieldDecoder::Long),
        "hex" => Ok(FieldDecoder::Hex),
        "base64" => Ok(FieldDecoder::Base64),
        _ => Err(InspectError::Usage(format!(
            "{name:?} is no decoder: there are string, integer, long, hex and base64"
        ))),
    }
}

fn verify(
    disk: &Arc<dyn Disk>,
    args: &VerifyArgs,
    writer: &mut dyn Write,
) -> Result<u8, InspectError> {
    let targets = targets(disk, &args.paths)?;
    let mut out = Out::new(writer, format(&args.output));
    let options = VerifyOptions { deep: args.deep, start: start(&args.start) };
    let tally = ottla_inspect::verify(disk, &targets, options, &mut out)?;
    Ok(code(tally.repairable + tally.damage > 0))
}

fn plan(disk: &Arc<dyn Disk>, args: &PlanArgs, writer: &mut dyn Write) -> Result<u8, InspectError> {
    let mut paths = args.paths.clone();
    if let Some(file) = &args.config {
        let sources = Sources { config: Some(file.clone()), ..Sources::default() };
        let config = sources.gather().map_err(|error| InspectError::Usage(error.to_string()))?;
        paths.extend(config.log_dirs);
    }
    let targets = targets(disk, &paths)?;
    let mut out = Out::new(writer, format(&args.output));
    let tally = ottla_inspect::plan(disk, &targets, start(&args.start), &mut out)?;
    Ok(code(tally.has_problems()))
}

fn indexes(
    disk: &Arc<dyn Disk>,
    args: &IndexArgs,
    writer: &mut dyn Write,
) -> Result<u8, InspectError> {
    let targets = targets(disk, &args.paths)?;
    let mut out = Out::new(writer, format(&args.output));
    let interval = args.index_interval_bytes;
    let bad = ottla_inspect::indexes(disk.as_ref(), &targets, interval, &mut out)?;
    Ok(code(bad > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoders_by_word_and_by_kafkas_class() {
        for (name, decoder) in [
            ("string", FieldDecoder::Text),
            ("org.apache.kafka.tools.api.StringDecoder", FieldDecoder::Text),
            ("org.apache.kafka.tools.api.IntegerDecoder", FieldDecoder::Integer),
            ("LongDecoder", FieldDecoder::Long),
            ("hex", FieldDecoder::Hex),
        ] {
            assert_eq!(field_decoder(name).unwrap(), decoder, "{name}");
        }
        let error = field_decoder("com.example.Mine").unwrap_err().to_string();
        assert!(error.contains("is no decoder"), "{error}");
    }
}
