//! Hosts the quorum and the metadata machine over a metadata log.
//!
//! Surface that broker and node code against (being filled in):
//!
//! ```ignore
//! struct FormatOptions { cluster_id: Option<String>, node_id: NodeId, directory_id: Option<Uuid>,
//!     features: FeatureChoice /* release: Option<String> like "4.4", levels: Vec<(String, i16)> */,
//!     voters: Voters /* Standalone(Endpoint { listener, host, port }) | Static | None: broker only, no quorum of its own */ ,
//!     ignore_formatted: bool }
//! /// Writes `meta.properties` into every directory and the bootstrap snapshot into the metadata directory (the first).
//! fn format(disk: &Arc<dyn Disk>, rng: &mut dyn Rng, now: Millis, dirs: &[PathBuf], options: &FormatOptions) -> Result<MetaProperties, FormatError>;
//! fn inspect(disk: &dyn Disk, dir: &Path) -> Result<Contents, ..>;
//! enum Contents { Empty, Formatted(MetaProperties), Foreign(String /* what was found */), Damaged(String /* a sentence */) }
//! struct MetaProperties { cluster_id: String, node_id: NodeId, directory_id: Uuid }
//!
//! struct ControllerOptions { disk: Arc<dyn Disk>, clock: Arc<dyn Clock>, rng: Box<dyn Rng>, metadata_dir: PathBuf, meta: MetaProperties,
//!     endpoints: Vec<Endpoint>, properties: BrokerProperties, log: MetadataLogSettings }
//! /// Loads snapshot and log, elects, brings the log up to date; returns when the image is readable.
//! fn start(options: ControllerOptions) -> Result<ControllerHandle, ControllerError>;
//! impl ControllerHandle {                               // Clone + Send + Sync
//!     /// The callback runs on the controller's thread after the records are durable, applied and published.
//!     fn submit(&self, command: Command, on_reply: impl FnOnce(Result<Reply, Refusal>) + Send + 'static);
//!     fn call(&self, command: Command) -> Result<Reply, Refusal>;           // blocks
//!     fn image(&self) -> Arc<Image>;
//!     /// Called on the controller's thread for each published image, first with the present one; must be quick.
//!     fn subscribe(&self, callback: impl FnMut(&Published /* { image: Arc<Image>, delta: Delta } */) + Send + 'static);
//!     fn quorum(&self) -> QuorumInfo;  // for DescribeQuorum: leader, epoch, high watermark, voters with log ends and times, observers
//!     fn stop(&self);                  // joins the thread
//! }
//! ```
