//! Connections, request dispatch, hosting of partitions and coordinators.
