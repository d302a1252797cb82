//! DescribeProducers 0: the producers that a partition knows (KIP-664).

use bytes::BytesMut;
use ottla_protocol::k61_describe_producers::{PartitionResponse, ProducerState, TopicResponse};
use ottla_protocol::{DescribeProducersRequest, DescribeProducersResponse, ErrorCode, StrBytes};

use crate::connection::Handled;
use crate::dispatch::Context;
use crate::errors;
use crate::topics;

pub(crate) fn handle(cx: Context, body: BytesMut) -> Handled {
    let request = decode!(cx, body, DescribeProducersRequest);
    let image = cx.shared.image.load_full();
    let topics = request.topics.iter().map(|topic| {
        let exists = image.topic(&topic.name).is_some();
        let partitions = topic.partition_indexes.iter().map(|index| {
            let found = if topics::is_valid_name(&topic.name) {
                active(&cx, &topic.name, *index)
            } else {
                Err(ErrorCode::InvalidTopicException)
            };
            match found {
                Ok(active_producers) => PartitionResponse {
                    partition_index: *index,
                    active_producers,
                    ..Default::default()
                },
                Err(error) => PartitionResponse {
                    partition_index: *index,
                    error_code: error.into(),
                    // Of a topic that is there, the error says enough.
                    error_message: (!exists).then(|| StrBytes::from(error.message())),
                    ..Default::default()
                },
            }
        });
        TopicResponse {
            name: topic.name.clone(),
            partitions: partitions.collect(),
            ..Default::default()
        }
    });
    let topics = topics.collect();
    ready!(cx, DescribeProducersResponse { topics, ..Default::default() })
}

fn active(cx: &Context, topic: &str, index: i32) -> Result<Vec<ProducerState>, ErrorCode> {
    let hosted = cx.hosted(topic, index)?;
    hosted.check_leader(None).map_err(errors::replica)?;
    Ok(hosted.with_log(|log| {
        let producers = log.producers().entries();
        producers
            .map(|producer| ProducerState {
                producer_id: producer.producer_id.get(),
                producer_epoch: i32::from(producer.producer_epoch.get()),
                last_sequence: producer.last_sequence(),
                last_timestamp: producer.last_timestamp.get(),
                coordinator_epoch: producer.coordinator_epoch,
                current_txn_start_offset: producer
                    .current_txn_first_offset
                    .map_or(-1, |offset| offset.get()),
                ..Default::default()
            })
            .collect()
    }))
}
