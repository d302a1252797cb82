//! What Produce and Fetch allocate in a whole node, its disk included: counted for each request
//! and each record, and held below a bound, so that growth is noticed. Prints the counts
//! (`--nocapture`); with `OTTLA_ALLOCATIONS=FILE` every place that allocates is written to a file
//! for DHAT's viewer. A binary of its own, since the counting allocator is the process's.
//!
//! Requests come one after the other over one connection, so a commit carries one request: with
//! more in flight there are fewer allocations for each, never more.

#[cfg(test)]
mod cases;
#[cfg(test)]
mod client;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ottla_node::{Node, Sources};

    use crate::cases::{COUNTED, Case, Topics, WARM};
    use crate::client::Client;

    #[global_allocator]
    static ALLOCATOR: dhat::Alloc = dhat::Alloc;

    fn start(folder: &Path) -> (Node, Client) {
        let sources = Sources {
            data_dir: Some(folder.to_owned()),
            listen: Some("127.0.0.1:0".to_owned()),
            ..Sources::default()
        };
        let node = Node::start(sources.gather().unwrap()).unwrap();
        let client = Client::connect(node.ready().addresses[0]);
        (node, client)
    }

    /// Runs a case and prints its counts; what is wrong when they are over its bounds.
    fn run(client: &mut Client, case: &Case) -> Option<String> {
        let (warm, counted) = case.frames.split_at(WARM);
        assert_eq!(counted.len(), COUNTED);
        for frame in warm {
            client.exchange(frame);
        }
        let mut shortest = usize::MAX;
        let before = dhat::HeapStats::get();
        for frame in counted {
            shortest = shortest.min(client.exchange(frame));
        }
        let after = dhat::HeapStats::get();
        assert!(shortest > case.answer_bytes, "{}: an answer of {shortest} bytes", case.name);
        let each = |before: u64, after: u64| (after - before) as f64 / COUNTED as f64;
        let allocations = each(before.total_blocks, after.total_blocks);
        let bytes = each(before.total_bytes, after.total_bytes);
        println!("{:<50} {allocations:>7.1} allocations, {bytes:>9.0} bytes a request", case.name);
        if case.records > 1 {
            let records = case.records as f64;
            println!(
                "{:<50} {:>7.2} allocations, {:>9.1} bytes a record",
                "",
                allocations / records,
                bytes / records
            );
        }
        let good = allocations <= case.allocations_max && bytes <= case.bytes_max;
        (!good).then(|| {
            format!(
                "{}: {allocations} allocations of {bytes} bytes a request, at most {} of {}",
                case.name, case.allocations_max, case.bytes_max
            )
        })
    }

    #[test]
    fn requests_allocate_little() {
        let profiler = match std::env::var_os("OTTLA_ALLOCATIONS") {
            Some(file) => {
                dhat::Profiler::builder().file_name(file).trim_backtraces(Some(24)).build()
            }
            None => dhat::Profiler::builder().testing().build(),
        };
        let folder = tempfile::tempdir().unwrap();
        let (node, mut client) = start(folder.path());
        let topics = Topics::create(&mut client);
        let mut over = Vec::new();
        for case in topics.produces() {
            over.extend(run(&mut client, &case));
        }
        topics.verify(&mut client);
        let max = [(20.0, 3_500.0), (31.0, 12_500.0), (10.0, 12_500.0)];
        for case in topics.fetches(&mut client, "memory", max) {
            over.extend(run(&mut client, &case));
        }
        node.stop().unwrap();
        // After a start nothing is in memory.
        let (node, mut client) = start(folder.path());
        let max = [(29.0, 7_200.0), (36.0, 1_350_000.0), (10.0, 12_500.0)];
        for case in topics.fetches(&mut client, "files", max) {
            over.extend(run(&mut client, &case));
        }
        node.stop().unwrap();
        drop(profiler);
        assert!(over.is_empty(), "{over:#?}");
    }
}
