//! Borrowed views of the requests that carry the load: checked once, then read in place without
//! allocating. They accept and refuse what the owned decoders do. Knows no partitions, only bytes.

mod fetch;
mod produce;

pub use fetch::{
    FetchForgottenView, FetchForgottenViews, FetchPartitionView, FetchPartitionViews,
    FetchRequestView, FetchTopicView, FetchTopicViews, PartitionNumbers,
};
pub use produce::{
    ProduceBeginning, ProducePartitionView, ProducePartitionViews, ProduceRequestView,
    ProduceTopicView, ProduceTopicViews,
};
