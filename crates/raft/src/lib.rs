//! KRaft's decisions: epochs, votes, leadership, high watermark of the metadata log.
