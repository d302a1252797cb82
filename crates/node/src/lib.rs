//! Composition: configuration, format, start, shutdown.
