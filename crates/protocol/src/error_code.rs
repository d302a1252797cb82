//! Kafka's error codes: number, name, whether a retry can help, and a sentence. Must not know who
//! answers with which: that is one match in the broker.

use std::fmt;

macro_rules! error_codes {
    ($($code:literal $name:ident $kafka:ident $retriable:literal $message:literal)*) => {
        /// An error code of the protocol (`org.apache.kafka.common.protocol.Errors`).
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
        pub enum ErrorCode {
            /// No error: 0.
            #[default]
            None,
            $(#[doc = concat!("`", stringify!($kafka), "`: ", $message, ".")] $name,)*
            /// A code that this build does not know.
            Unknown(i16),
        }

        impl ErrorCode {
            /// Every code that Kafka 4.4 knows, `None` first.
            pub const ALL: &[Self] = &[Self::None, $(Self::$name,)*];

            /// The number on the wire.
            #[must_use]
            pub const fn code(self) -> i16 {
                match self {
                    Self::None => 0,
                    $(Self::$name => $code,)*
                    Self::Unknown(code) => code,
                }
            }

            /// The error of a number; every number is one.
            #[must_use]
            pub const fn from_code(code: i16) -> Self {
                match code {
                    0 => Self::None,
                    $($code => Self::$name,)*
                    _ => Self::Unknown(code),
                }
            }

            /// Kafka's name, such as `NOT_COORDINATOR`; `UNKNOWN` for one that is not known.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    Self::None => "NONE",
                    $(Self::$name => stringify!($kafka),)*
                    Self::Unknown(_) => "UNKNOWN",
                }
            }

            /// Whether clients try again after it.
            #[must_use]
            pub const fn is_retriable(self) -> bool {
                match self {
                    Self::None | Self::Unknown(_) => false,
                    $(Self::$name => $retriable,)*
                }
            }

            /// A short sentence without full stop.
            #[must_use]
            pub const fn message(self) -> &'static str {
                match self {
                    Self::None => "no error",
                    $(Self::$name => $message,)*
                    Self::Unknown(_) => "an error that this version does not know",
                }
            }
        }
    };
}

error_codes! {
    -1 UnknownServerError UNKNOWN_SERVER_ERROR false "the server failed in an unexpected way"
    1 OffsetOutOfRange OFFSET_OUT_OF_RANGE false "the offset is outside the range that the log holds"
    2 CorruptMessage CORRUPT_MESSAGE true "a record batch is corrupt: wrong CRC, invalid size, or no key on a compacted topic"
    3 UnknownTopicOrPartition UNKNOWN_TOPIC_OR_PARTITION true "the topic or partition is not on this server"
    4 InvalidFetchSize INVALID_FETCH_SIZE false "the fetch size is invalid"
    5 LeaderNotAvailable LEADER_NOT_AVAILABLE true "the partition has no leader at the moment"
    6 NotLeaderOrFollower NOT_LEADER_OR_FOLLOWER true "this broker is not the leader, or not a replica, of the partition"
    7 RequestTimedOut REQUEST_TIMED_OUT true "the request timed out"
    8 BrokerNotAvailable BROKER_NOT_AVAILABLE false "the broker is not available"
    9 ReplicaNotAvailable REPLICA_NOT_AVAILABLE true "the replica is not available for the partition"
    10 MessageTooLarge MESSAGE_TOO_LARGE false "a message is larger than the server accepts"
    11 StaleControllerEpoch STALE_CONTROLLER_EPOCH false "the controller has moved to another node"
    12 OffsetMetadataTooLarge OFFSET_METADATA_TOO_LARGE false "the metadata of a committed offset is too large"
    13 NetworkException NETWORK_EXCEPTION true "the connection ended before the response came"
    14 CoordinatorLoadInProgress COORDINATOR_LOAD_IN_PROGRESS true "the coordinator is still loading"
    15 CoordinatorNotAvailable COORDINATOR_NOT_AVAILABLE true "the coordinator is not available"
    16 NotCoordinator NOT_COORDINATOR true "this broker is not the coordinator asked for"
    17 InvalidTopicException INVALID_TOPIC_EXCEPTION false "the topic is not one that this operation may use"
    18 RecordListTooLarge RECORD_LIST_TOO_LARGE false "the record batch is larger than a segment"
    19 NotEnoughReplicas NOT_ENOUGH_REPLICAS true "fewer replicas are in sync than the topic requires"
    20 NotEnoughReplicasAfterAppend NOT_ENOUGH_REPLICAS_AFTER_APPEND true "the records were written, but to fewer in-sync replicas than required"
    21 InvalidRequiredAcks INVALID_REQUIRED_ACKS false "the number of acknowledgements must be -1, 0 or 1"
    22 IllegalGeneration ILLEGAL_GENERATION false "the group generation is not the current one"
    23 InconsistentGroupProtocol INCONSISTENT_GROUP_PROTOCOL false "the member's protocols do not fit those of the group"
    24 InvalidGroupId INVALID_GROUP_ID false "the group id is invalid"
    25 UnknownMemberId UNKNOWN_MEMBER_ID false "the coordinator does not know this member"
    26 InvalidSessionTimeout INVALID_SESSION_TIMEOUT false "the session timeout is outside the range that the broker allows"
    27 RebalanceInProgress REBALANCE_IN_PROGRESS false "the group is rebalancing and must be joined again"
    28 InvalidCommitOffsetSize INVALID_COMMIT_OFFSET_SIZE false "the committed offset's data has an invalid size"
    29 TopicAuthorizationFailed TOPIC_AUTHORIZATION_FAILED false "not authorised for the topic"
    30 GroupAuthorizationFailed GROUP_AUTHORIZATION_FAILED false "not authorised for the group"
    31 ClusterAuthorizationFailed CLUSTER_AUTHORIZATION_FAILED false "not authorised for the cluster"
    32 InvalidTimestamp INVALID_TIMESTAMP false "a record's timestamp is outside the accepted range"
    33 UnsupportedSaslMechanism UNSUPPORTED_SASL_MECHANISM false "the broker does not offer this SASL mechanism"
    34 IllegalSaslState ILLEGAL_SASL_STATE false "the request is not valid in the current state of SASL"
    35 UnsupportedVersion UNSUPPORTED_VERSION false "the version of the API is not supported"
    36 TopicAlreadyExists TOPIC_ALREADY_EXISTS false "a topic with this name exists already"
    37 InvalidPartitions INVALID_PARTITIONS false "the number of partitions is below 1"
    38 InvalidReplicationFactor INVALID_REPLICATION_FACTOR false "the replication factor is below 1 or above the number of brokers"
    39 InvalidReplicaAssignment INVALID_REPLICA_ASSIGNMENT false "the replica assignment is invalid"
    40 InvalidConfig INVALID_CONFIG false "the configuration is invalid"
    41 NotController NOT_CONTROLLER true "this node is not the active controller"
    42 InvalidRequest INVALID_REQUEST false "the request is malformed or makes no sense"
    43 UnsupportedForMessageFormat UNSUPPORTED_FOR_MESSAGE_FORMAT false "the message format on the broker does not support the request"
    44 PolicyViolation POLICY_VIOLATION false "the request violates a configured policy"
    45 OutOfOrderSequenceNumber OUT_OF_ORDER_SEQUENCE_NUMBER false "a sequence number is out of order"
    46 DuplicateSequenceNumber DUPLICATE_SEQUENCE_NUMBER false "a sequence number was used before"
    47 InvalidProducerEpoch INVALID_PRODUCER_EPOCH false "the producer's epoch is old"
    48 InvalidTxnState INVALID_TXN_STATE false "the operation is not valid in the transaction's state"
    49 InvalidProducerIdMapping INVALID_PRODUCER_ID_MAPPING false "the producer id is not the one assigned to the transactional id"
    50 InvalidTransactionTimeout INVALID_TRANSACTION_TIMEOUT false "the transaction timeout exceeds transaction.max.timeout.ms"
    51 ConcurrentTransactions CONCURRENT_TRANSACTIONS true "another operation on the same transaction is under way"
    52 TransactionCoordinatorFenced TRANSACTION_COORDINATOR_FENCED false "the transaction coordinator that sent this is no longer current"
    53 TransactionalIdAuthorizationFailed TRANSACTIONAL_ID_AUTHORIZATION_FAILED false "not authorised for the transactional id"
    54 SecurityDisabled SECURITY_DISABLED false "security features are switched off"
    55 OperationNotAttempted OPERATION_NOT_ATTEMPTED false "the operation was not attempted because another of the same request failed"
    56 KafkaStorageError KAFKA_STORAGE_ERROR true "the disk failed under the log"
    57 LogDirNotFound LOG_DIR_NOT_FOUND false "the broker has no such log directory"
    58 SaslAuthenticationFailed SASL_AUTHENTICATION_FAILED false "SASL authentication failed"
    59 UnknownProducerId UNKNOWN_PRODUCER_ID false "nothing is known of this producer id; its records may have been deleted"
    60 ReassignmentInProgress REASSIGNMENT_IN_PROGRESS false "the partition is being reassigned"
    61 DelegationTokenAuthDisabled DELEGATION_TOKEN_AUTH_DISABLED false "delegation tokens are not enabled"
    62 DelegationTokenNotFound DELEGATION_TOKEN_NOT_FOUND false "the server does not know this delegation token"
    63 DelegationTokenOwnerMismatch DELEGATION_TOKEN_OWNER_MISMATCH false "the principal is neither owner nor renewer of the token"
    64 DelegationTokenRequestNotAllowed DELEGATION_TOKEN_REQUEST_NOT_ALLOWED false "delegation tokens cannot be requested on this kind of connection"
    65 DelegationTokenAuthorizationFailed DELEGATION_TOKEN_AUTHORIZATION_FAILED false "not authorised for the delegation token"
    66 DelegationTokenExpired DELEGATION_TOKEN_EXPIRED false "the delegation token has expired"
    67 InvalidPrincipalType INVALID_PRINCIPAL_TYPE false "the principal type is not supported"
    68 NonEmptyGroup NON_EMPTY_GROUP false "the group still has members"
    69 GroupIdNotFound GROUP_ID_NOT_FOUND false "the group does not exist"
    70 FetchSessionIdNotFound FETCH_SESSION_ID_NOT_FOUND true "the fetch session does not exist"
    71 InvalidFetchSessionEpoch INVALID_FETCH_SESSION_EPOCH true "the fetch session epoch is invalid"
    72 ListenerNotFound LISTENER_NOT_FOUND true "the leader has no listener that matches the one that was asked"
    73 TopicDeletionDisabled TOPIC_DELETION_DISABLED false "topic deletion is switched off"
    74 FencedLeaderEpoch FENCED_LEADER_EPOCH true "the leader epoch is older than the broker's"
    75 UnknownLeaderEpoch UNKNOWN_LEADER_EPOCH true "the leader epoch is newer than the broker's"
    76 UnsupportedCompressionType UNSUPPORTED_COMPRESSION_TYPE false "the client does not support the partition's compression"
    77 StaleBrokerEpoch STALE_BROKER_EPOCH false "the broker epoch has changed"
    78 OffsetNotAvailable OFFSET_NOT_AVAILABLE true "the new leader's high watermark has not caught up yet"
    79 MemberIdRequired MEMBER_ID_REQUIRED false "the member must join again with the member id it was given"
    80 PreferredLeaderNotAvailable PREFERRED_LEADER_NOT_AVAILABLE true "the preferred leader is not available"
    81 GroupMaxSizeReached GROUP_MAX_SIZE_REACHED false "the group is full"
    82 FencedInstanceId FENCED_INSTANCE_ID false "another member has registered with the same group instance id"
    83 EligibleLeadersNotAvailable ELIGIBLE_LEADERS_NOT_AVAILABLE true "no eligible leader is available"
    84 ElectionNotNeeded ELECTION_NOT_NEEDED true "the partition needs no election"
    85 NoReassignmentInProgress NO_REASSIGNMENT_IN_PROGRESS false "the partition is not being reassigned"
    86 GroupSubscribedToTopic GROUP_SUBSCRIBED_TO_TOPIC false "the group is subscribed to the topic, so its offsets must stay"
    87 InvalidRecord INVALID_RECORD false "a record is invalid"
    88 UnstableOffsetCommit UNSTABLE_OFFSET_COMMIT true "an open transaction still holds offsets of the group"
    89 ThrottlingQuotaExceeded THROTTLING_QUOTA_EXCEEDED true "the throttling quota has been exceeded"
    90 ProducerFenced PRODUCER_FENCED false "a newer producer with the same transactional id has taken over"
    91 ResourceNotFound RESOURCE_NOT_FOUND false "the resource does not exist"
    92 DuplicateResource DUPLICATE_RESOURCE false "the request names the same resource twice"
    93 UnacceptableCredential UNACCEPTABLE_CREDENTIAL false "the credential is not acceptable"
    94 InconsistentVoterSet INCONSISTENT_VOTER_SET false "the sender or the receiver is not one of the voters"
    95 InvalidUpdateVersion INVALID_UPDATE_VERSION false "the version to update to is invalid"
    96 FeatureUpdateFailed FEATURE_UPDATE_FAILED false "the features could not be updated because the server failed"
    97 PrincipalDeserializationFailure PRINCIPAL_DESERIALIZATION_FAILURE false "the forwarded principal could not be read"
    98 SnapshotNotFound SNAPSHOT_NOT_FOUND false "the snapshot does not exist"
    99 PositionOutOfRange POSITION_OUT_OF_RANGE false "the position lies outside the snapshot"
    100 UnknownTopicId UNKNOWN_TOPIC_ID true "the topic id is not on this server"
    101 DuplicateBrokerRegistration DUPLICATE_BROKER_REGISTRATION false "the broker id is in use"
    102 BrokerIdNotRegistered BROKER_ID_NOT_REGISTERED false "the broker id is not registered"
    103 InconsistentTopicId INCONSISTENT_TOPIC_ID true "the log's topic id is not the one in the request"
    104 InconsistentClusterId INCONSISTENT_CLUSTER_ID false "the cluster id is not that of this server"
    105 TransactionalIdNotFound TRANSACTIONAL_ID_NOT_FOUND false "the transactional id does not exist"
    106 FetchSessionTopicIdError FETCH_SESSION_TOPIC_ID_ERROR true "the fetch session mixes topic names and topic ids"
    107 IneligibleReplica INELIGIBLE_REPLICA false "the new ISR contains a replica that is not eligible"
    108 NewLeaderElected NEW_LEADER_ELECTED false "the partition was changed and has a new leader"
    109 OffsetMovedToTieredStorage OFFSET_MOVED_TO_TIERED_STORAGE false "the offset has moved to tiered storage"
    110 FencedMemberEpoch FENCED_MEMBER_EPOCH false "the member's epoch is fenced: it must give up its partitions and join again"
    111 UnreleasedInstanceId UNRELEASED_INSTANCE_ID false "the group instance id is still in use by another member"
    112 UnsupportedAssignor UNSUPPORTED_ASSIGNOR false "the group does not support the assignor or its version"
    113 StaleMemberEpoch STALE_MEMBER_EPOCH false "the member's epoch is old: it must retry with the one from its next heartbeat"
    114 MismatchedEndpointType MISMATCHED_ENDPOINT_TYPE false "the request went to the wrong kind of endpoint"
    115 UnsupportedEndpointType UNSUPPORTED_ENDPOINT_TYPE false "this kind of endpoint is not supported"
    116 UnknownControllerId UNKNOWN_CONTROLLER_ID false "the controller id is unknown"
    117 UnknownSubscriptionId UNKNOWN_SUBSCRIPTION_ID false "the telemetry subscription id is invalid or outdated"
    118 TelemetryTooLarge TELEMETRY_TOO_LARGE false "the telemetry is larger than the broker accepts"
    119 InvalidRegistration INVALID_REGISTRATION false "the controller considers the registration invalid"
    120 TransactionAbortable TRANSACTION_ABORTABLE false "the transaction failed; it can be aborted and the transactional id used on"
    121 InvalidRecordState INVALID_RECORD_STATE false "the record cannot be acknowledged in its state"
    122 ShareSessionNotFound SHARE_SESSION_NOT_FOUND true "the share session does not exist"
    123 InvalidShareSessionEpoch INVALID_SHARE_SESSION_EPOCH true "the share session epoch is invalid"
    124 FencedStateEpoch FENCED_STATE_EPOCH false "the state epoch is not the coordinator's"
    125 InvalidVoterKey INVALID_VOTER_KEY false "the voter key is not that of the receiving replica"
    126 DuplicateVoter DUPLICATE_VOTER false "the voter is in the set of voters already"
    127 VoterNotFound VOTER_NOT_FOUND false "the voter is not in the set of voters"
    128 InvalidRegularExpression INVALID_REGULAR_EXPRESSION false "the regular expression is invalid"
    129 RebootstrapRequired REBOOTSTRAP_REQUIRED false "the client's metadata is stale: it must bootstrap again"
    130 StreamsInvalidTopology STREAMS_INVALID_TOPOLOGY false "the topology is invalid"
    131 StreamsInvalidTopologyEpoch STREAMS_INVALID_TOPOLOGY_EPOCH false "the topology epoch is invalid"
    132 StreamsTopologyFenced STREAMS_TOPOLOGY_FENCED false "the topology epoch is outdated"
    133 ShareSessionLimitReached SHARE_SESSION_LIMIT_REACHED true "no more share sessions are allowed"
    134 GroupDeletionFailed GROUP_DELETION_FAILED false "the group could not be deleted; its own error message says why"
    135 StreamsTopologyDescriptionUpdateFailed STREAMS_TOPOLOGY_DESCRIPTION_UPDATE_FAILED false "the topology description could not be updated; the error message says why"
    136 ControllerIdNotRegistered CONTROLLER_ID_NOT_REGISTERED false "the controller id is not registered"
}

impl ErrorCode {
    /// Whether it is an error at all.
    #[must_use]
    pub const fn is_error(self) -> bool {
        self.code() != 0
    }
}

impl From<ErrorCode> for i16 {
    fn from(error: ErrorCode) -> Self {
        error.code()
    }
}

impl From<i16> for ErrorCode {
    fn from(code: i16) -> Self {
        Self::from_code(code)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Unknown(code) = self {
            return write!(f, "error code {code}, which this version does not know");
        }
        f.write_str(self.message())
    }
}

#[cfg(test)]
mod tests {
    use super::ErrorCode;

    #[test]
    fn every_number_has_one_error() {
        for code in i16::MIN..=i16::MAX {
            assert_eq!(ErrorCode::from_code(code).code(), code);
        }
        for error in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_code(error.code()), *error);
            assert_ne!(error.name(), "UNKNOWN");
        }
        assert_eq!(ErrorCode::ALL.len(), 138);
        assert!(ErrorCode::NotCoordinator.is_retriable());
        assert_eq!(ErrorCode::InvalidTopicException.name(), "INVALID_TOPIC_EXCEPTION");
    }
}
