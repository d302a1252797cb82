//! Record batches: borrowed views, builder, checksums, compression with caps, control records, validation.
