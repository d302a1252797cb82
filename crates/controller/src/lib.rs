//! Hosts the quorum and the metadata machine over a metadata log.
